/* The banner, on stderr. */
#include "main/banner.h"

#include <stdio.h>

static void line(const char *label, str_t text)
{
    fprintf(stderr, "  %-14s " STR_FMT "\n", label, STR_ARG(text));
}

static str_t storage(struct arena *a, const struct options *o)
{
    if (o->database_url.n > 0)
        return str_printf(a, "PostgreSQL (" STR_FMT ")",
                          STR_ARG(options_masked_url(a, o->database_url)));
    return str_printf(a, "SQLite (" STR_FMT ", durability %s)", STR_ARG(o->db_path),
                      o->durability == DB_FULL ? "full" : "normal");
}

static void first_key(struct arena *a, const struct options *o, const struct server *s)
{
    str_t key = server_first_key(s);

    if (key.n == 0)
        return;
    fprintf(stderr, "\n  First start: this admin key is shown once.\n");
    line("API key:", key);
    if (server_key_stored(s))
        line("Key file:", str_printf(a, STR_FMT " (mode 0400)", STR_ARG(o->key_file)));
    else
        line("Key file:", S("could not be written; keep the key above"));
}

void banner_print(struct arena *a, const struct options *o, const struct server *s)
{
    int port = server_port(s);

    fprintf(stderr, "\n  Ironflow " IRONFLOW_VERSION "\n\n");
    line("API:", str_printf(a, "http://localhost:%d", port));
    line("Storage:", storage(a, o));
    line("Messages:", o->store_dir.n > 0 ? o->store_dir : S("in memory"));
    line("Node:", o->node_id);
    line("Access:", o->dev ? S("dev mode, no credentials") : S("API key required"));
    first_key(a, o, s);
    if (o->dev)
        fprintf(stderr,
                "\n  WARNING: dev mode. Every request is accepted as administrator, without a "
                "credential.\n  Never use it where others can reach this port.\n");
    fprintf(stderr, "\n");
    fflush(stderr);
}
