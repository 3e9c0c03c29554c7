/* Turns the numbered migration files into one C table: embed out.c 0001_init.sql ... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quote(FILE *in, FILE *out)
{
    int ch, fresh = 1;

    while ((ch = fgetc(in)) != EOF) {
        if (fresh)
            fputs("        \"", out);
        fresh = ch == '\n';
        if (ch == '\n')
            fputs("\\n\"\n", out);
        else if (ch == '"' || ch == '\\')
            fprintf(out, "\\%c", ch);
        else
            fputc(ch, out);
    }
    if (!fresh)
        fputs("\"\n", out);
}

static int embed(const char *path, int expected, FILE *out)
{
    const char *base = strrchr(path, '/');
    char *rest;
    long number;
    FILE *in;

    base = base ? base + 1 : path;
    number = strtol(base, &rest, 10);
    if (number != expected || *rest != '_') {
        fprintf(stderr, "embed: %s: expected number %d\n", path, expected);
        return 1;
    }
    in = fopen(path, "r");
    if (!in) {
        perror(path);
        return 1;
    }
    fprintf(out, "    { %ld, \"%.*s\",\n", number, (int)strcspn(rest + 1, "."), rest + 1);
    quote(in, out);
    fputs("    },\n", out);
    return fclose(in);
}

int main(int argc, char **argv)
{
    FILE *out = argc > 2 ? fopen(argv[1], "w") : NULL;

    if (!out) {
        fprintf(stderr, "usage: embed out.c 0001_name.sql ...\n");
        return 2;
    }
    fputs("/* Generated from src/store/migrations by scripts/gen/embed.c. */\n"
          "#include \"store/migrations.h\"\n\n"
          "/* A migration is one string, longer than ISO C promises; both compilers take it. */\n"
          "#pragma GCC diagnostic ignored \"-Woverlength-strings\"\n\n"
          "const struct migration store_migrations[] = {\n",
          out);
    for (int i = 2; i < argc; i++) {
        if (embed(argv[i], i - 1, out))
            return 1;
    }
    fputs("};\nconst size_t store_migrations_n =\n"
          "    sizeof(store_migrations) / sizeof(store_migrations[0]);\n",
          out);
    return fclose(out) ? 1 : 0;
}
