/* Runs the files named on the command line through one fuzz target, for `make test`: every seed and
 * every input that once broke a parser is tried again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *name)
{
    FILE *in = fopen(name, "rb");
    uint8_t *data;
    size_t n;
    long size;

    if (!in || fseek(in, 0, SEEK_END) != 0 || (size = ftell(in)) < 0) {
        fprintf(stderr, "%s: cannot read\n", name);
        return 1;
    }
    rewind(in);
    data = malloc(size > 0 ? (size_t)size : 1);
    n = data ? fread(data, 1, (size_t)size, in) : 0;
    fclose(in);
    if (!data || n != (size_t)size) {
        fprintf(stderr, "%s: cannot read\n", name);
        free(data);
        return 1;
    }
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;

    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    return failed;
}
