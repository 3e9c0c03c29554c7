/* .ironflow/engine.json in the working directory. Main thread. */
#include "main/discovery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "main/file.h"

static str_t content(struct ctx *c, int port)
{
    return str_printf(c->arena,
                      "{\"version\":1,\"url\":\"http://localhost:%d\","
                      "\"environment\":\"default\"}\n",
                      port);
}

void discovery_write(struct ctx *c, int port)
{
    struct stat st;

    if (stat(str_z(c->arena, DISCOVERY_DIR), &st) != 0 || !S_ISDIR(st.st_mode))
        return;
    if (!file_write(c, DISCOVERY_FILE, content(c, port), 0600))
        log_warn("the discovery file was not written", "path=" STR_FMT " error=\"%s\"",
                 STR_ARG(DISCOVERY_FILE), strerror(errno));
}

void discovery_remove(struct ctx *c, int port)
{
    const char *path = str_z(c->arena, DISCOVERY_FILE);
    char there[256];
    FILE *f = fopen(path, "r");
    size_t n;

    if (!f)
        return;
    n = fread(there, 1, sizeof(there), f);
    fclose(f);
    if (str_eq((str_t){ there, n }, content(c, port)))
        (void)unlink(path);
}
