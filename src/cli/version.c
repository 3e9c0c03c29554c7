/* `ironflow version`: what this build is; it never asks a server. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "cli/cli.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* As Go spells them. */
static const char *arch_name(const char *machine)
{
    if (strcmp(machine, "x86_64") == 0)
        return "amd64";
    if (strcmp(machine, "aarch64") == 0)
        return "arm64";
    return machine;
}

static int cli_version(struct cli *cli)
{
    struct utsname u = { 0 };

    (void)cli;
    (void)uname(&u); /* leaves empty words, which is all there is to say then */
    printf("ironflow version v%s\n  go: n/a (%s)\n  os/arch: %s/%s\n", IRONFLOW_VERSION, COMPILER,
           strcmp(u.sysname, "Darwin") == 0 ? "darwin" : "linux", arch_name(u.machine));
    return 0;
}

const struct cmd cmd_version = {
    .name = "version",
    .help = "Print version and build information.",
    .examples = "ironflow version",
    .run = cli_version,
};
