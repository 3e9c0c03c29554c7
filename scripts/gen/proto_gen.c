/* Reads our .proto files and writes C structs and their descriptions (src/codec/proto_desc.h):
 *   proto_gen OUT.h OUT.c FILE.proto...
 * It knows the subset of proto3 that proto/ uses (messages, enums, services, oneof, map, optional,
 * reserved) and these words in the comment that ends a line:
 *   fields   @always @json @number @sparse @rest(name)
 *   messages @both @snake @camel          enum values   @rest(word)
 * Runs at build time only; any trouble ends it with a message. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/proto_desc.h"

#define NAME 96

struct field {
    char name[NAME], json[NAME], rest[NAME], type[NAME];
    int number, number_value, flags, kind, target; /* target: index of message or enum */
    int hidden;                                    /* the second half of a pair */
};
struct message {
    char full[NAME], c[NAME];
    struct field fields[64];
    int n, flags, mapped; /* mapped: value of some map */
};
struct value {
    char name[NAME], rest[NAME];
    int number;
};
struct enumeration {
    char full[NAME], c[NAME], prefix[NAME];
    struct value values[32];
    int n;
};
struct rpc {
    char package[NAME], service[NAME], method[NAME], in[NAME], out[NAME];
    int kind, get;
};

static struct message messages[512];
static struct enumeration enums[64];
static struct rpc rpcs[256];
static int messages_n, enums_n, rpcs_n;
static const char *path, *at;
static char token[512], package[NAME];

static _Noreturn void die(const char *what, const char *word)
{
    fprintf(stderr, "%s: %s: %s\n", path, what, word);
    exit(1);
}

static void copy(char *to, size_t size, const char *from)
{
    if (strlen(from) >= size)
        die("name too long", from);
    strcpy(to, from);
}

/* The next token: a word with dots, a number, a string or one character. "" at the end. */
static const char *next(void)
{
    size_t n = 0;

    for (;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (at[0] != '/' || at[1] != '/')
            break;
        at += strcspn(at, "\n");
    }
    if (*at == '"')
        n = strcspn(at + 1, "\"") + 2;
    else
        while (isalnum((unsigned char)at[n]) || at[n] == '_' || at[n] == '.')
            n++;
    if (n == 0 && *at)
        n = 1;
    if (n >= sizeof(token))
        die("token too long", "");
    memcpy(token, at, n);
    token[n] = 0;
    at += n;
    return token;
}

static int peek(char ch)
{
    const char *save = at;
    int same = next()[0] == ch;

    at = save;
    return same;
}

static void expect(const char *word)
{
    if (strcmp(next(), word) != 0)
        die(word, token);
}

static void skip_to(const char *word)
{
    while (strcmp(next(), word) != 0)
        if (!token[0])
            die("end of file before", word);
}

/* The comment on the rest of this line, for the words that begin with @. */
static const char *line_comment(void)
{
    static char line[256];
    size_t n = strcspn(at, "\n");

    if (n >= sizeof(line))
        die("line too long", "");
    memcpy(line, at, n);
    line[n] = 0;
    return strstr(line, "//") ? strstr(line, "//") : "";
}

static void rest_word(const char *comment, char *out, const char *otherwise)
{
    const char *p = strstr(comment, "@rest(");
    size_t n = p ? strcspn(p + 6, ")") : 0;

    copy(out, NAME, otherwise);
    if (n > 0 && n < NAME) {
        memcpy(out, p + 6, n);
        out[n] = 0;
    }
}

/* CreateSQLThing -> create_sql_thing */
static void snake(char *out, const char *s)
{
    char *o = out;

    for (size_t i = 0; s[i] && o < out + NAME - 3; i++) {
        int up = isupper((unsigned char)s[i]);

        if (i > 0 && up && (!isupper((unsigned char)s[i - 1]) || islower((unsigned char)s[i + 1])))
            *o++ = '_';
        *o++ = (char)tolower((unsigned char)s[i]);
    }
    *o = 0;
}

static void camel(char *out, const char *s)
{
    char *o = out;

    for (; *s; s++)
        if (*s == '_' && s[1])
            *o++ = (char)toupper((unsigned char)*++s);
        else
            *o++ = *s;
    *o = 0;
}

/* pb_x for ironflow.v1, pb_rest_x for ironflow.rest.v1 */
static void c_name(char *out, const char *name)
{
    char low[NAME];

    snake(low, name);
    if (snprintf(out, NAME, "pb_%s%s", strstr(package, "rest") ? "rest_" : "", low) >= NAME)
        die("name too long", name);
}

static void full_name(char *out, const char *name)
{
    if (snprintf(out, NAME, "%s.%s", package, name) >= NAME)
        die("name too long", name);
}

static void parse_field(struct message *m)
{
    struct field *f = &m->fields[m->n++];
    const char *comment;

    if (m->n > 63)
        die("too many fields", m->full);
    if (!strcmp(token, "repeated") || !strcmp(token, "optional")) {
        f->flags |= token[0] == 'r' ? PB_REPEATED : PB_OPTIONAL;
        next();
    }
    copy(f->type, NAME, token);
    if (!strcmp(token, "map")) {
        expect("<"), expect("string"), expect(",");
        copy(f->type, NAME, next());
        expect(">");
        f->kind = PB_KIND_MAP;
    }
    copy(f->name, NAME, next());
    expect("=");
    f->number = atoi(next());
    if (peek('['))
        skip_to("]");
    expect(";");
    comment = line_comment();
    camel(f->json, f->name);
    rest_word(comment, f->rest, f->name);
    f->flags |= strstr(comment, "@always") ? PB_ALWAYS : 0;
    f->flags |= strstr(comment, "@json") ? PB_TEXT : 0;
    f->flags |= strstr(comment, "@number") ? PB_NUMBER : 0;
    f->flags |= strstr(comment, "@sparse") ? PB_SPARSE : 0;
}

static void parse_message(void)
{
    struct message *m = &messages[messages_n++];
    const char *comment;

    full_name(m->full, next());
    c_name(m->c, token);
    expect("{");
    comment = line_comment();
    m->flags |= strstr(comment, "@both") ? PB_BOTH : 0;
    m->flags |= strstr(comment, "@snake") ? PB_SNAKE : 0;
    m->flags |= strstr(comment, "@camel") ? PB_CAMEL : 0;
    for (int depth = 1; depth > 0;) {
        next();
        if (!strcmp(token, "}"))
            depth--;
        else if (!strcmp(token, "reserved"))
            skip_to(";");
        else if (!strcmp(token, "oneof"))
            next(), expect("{"), depth++;
        else if (token[0])
            parse_field(m);
        else
            die("unfinished message", m->full);
    }
}

static void parse_enum(void)
{
    struct enumeration *e = &enums[enums_n++];

    full_name(e->full, next());
    c_name(e->c, token);
    snake(e->prefix, token);
    for (char *p = e->prefix; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    strcat(e->prefix, "_");
    expect("{");
    while (strcmp(next(), "}") != 0) {
        struct value *v = &e->values[e->n];

        if (!strcmp(token, "reserved")) {
            skip_to(";");
            continue;
        }
        if (++e->n > 31 || strncmp(token, e->prefix, strlen(e->prefix)) != 0)
            die("bad enum value", token);
        copy(v->name, NAME, token);
        expect("=");
        v->number = atoi(next());
        expect(";");
        rest_word(line_comment(), v->rest, v->name + strlen(e->prefix));
        for (char *p = v->rest; *p; p++)
            *p = (char)tolower((unsigned char)*p);
    }
}

/* (stream Type): returns whether it is a stream. */
static int parse_rpc_type(char *out)
{
    int stream = 0;

    expect("(");
    if (!strcmp(next(), "stream")) {
        stream = 1;
        next();
    }
    copy(out, NAME, token);
    expect(")");
    return stream;
}

static void parse_service(void)
{
    char service[NAME];

    copy(service, NAME, next());
    expect("{");
    while (strcmp(next(), "rpc") == 0) {
        struct rpc *r = &rpcs[rpcs_n++];
        int in;

        copy(r->package, NAME, package);
        copy(r->service, NAME, service);
        copy(r->method, NAME, next());
        in = parse_rpc_type(r->in);
        expect("returns");
        r->kind = parse_rpc_type(r->out) ? (in ? PB_BIDI : PB_SERVER_STREAM) : PB_UNARY;
        if (!strcmp(next(), "{")) {
            expect("option"), expect("idempotency_level"), expect("="), next();
            r->get = !strcmp(token, "NO_SIDE_EFFECTS");
            expect(";"), expect("}");
        }
    }
    if (strcmp(token, "}") != 0)
        die("expected rpc", token);
}

static void parse_file(void)
{
    while (next()[0]) {
        if (!strcmp(token, "package")) {
            copy(package, NAME, next());
            expect(";");
        } else if (!strcmp(token, "message")) {
            parse_message();
        } else if (!strcmp(token, "enum")) {
            parse_enum();
        } else if (!strcmp(token, "service")) {
            parse_service();
        } else {
            skip_to(";"); /* syntax, import, option */
        }
    }
}

static int find_message(const char *type, const char *from)
{
    char full[2 * NAME];

    if (!strcmp(type, "google.protobuf.Empty"))
        return 0;
    snprintf(full, sizeof(full), "%.*s.%s", (int)(strrchr(from, '.') - from), from, type);
    for (int i = 0; i < messages_n; i++)
        if (!strcmp(messages[i].full, full) || !strcmp(messages[i].full, type))
            return i;
    return -1;
}

static int find_enum(const char *type, const char *from)
{
    char full[2 * NAME];

    snprintf(full, sizeof(full), "%.*s.%s", (int)(strrchr(from, '.') - from), from, type);
    for (int i = 0; i < enums_n; i++)
        if (!strcmp(enums[i].full, full) || !strcmp(enums[i].full, type))
            return i;
    return -1;
}

static const struct {
    const char *type, *c, *text;
    int kind;
} scalars[] = {
    { "bool", "bool", "BOOL", PB_KIND_BOOL },
    { "int32", "int64_t", "INT32", PB_KIND_INT32 },
    { "uint32", "int64_t", "UINT32", PB_KIND_UINT32 },
    { "int64", "int64_t", "INT64", PB_KIND_INT64 },
    { "uint64", "int64_t", "UINT64", PB_KIND_UINT64 },
    { "double", "double", "DOUBLE", PB_KIND_DOUBLE },
    { "string", "str_t", "STRING", PB_KIND_STRING },
    { "bytes", "str_t", "BYTES", PB_KIND_BYTES },
    { "google.protobuf.Timestamp", "int64_t", "TIMESTAMP", PB_KIND_TIMESTAMP },
    { "google.protobuf.Duration", "int64_t", "DURATION", PB_KIND_DURATION },
    { "google.protobuf.Struct", "str_t", "STRUCT", PB_KIND_STRUCT },
    { "google.protobuf.Value", "str_t", "VALUE", PB_KIND_VALUE },
    { "google.protobuf.FieldMask", "str_t", "MASK", PB_KIND_MASK },
    { "", "int32_t", "ENUM", PB_KIND_ENUM },
    { "", "", "MESSAGE", PB_KIND_MESSAGE },
    { "", "str_t", "PAIR", PB_KIND_PAIR },
    { "", "struct pb_pair", "MAP", PB_KIND_MAP },
    { "", "", "MAP_MSG", PB_KIND_MAP_MSG },
};

static size_t row_of(int kind)
{
    for (size_t i = 0; i < sizeof(scalars) / sizeof(scalars[0]); i++)
        if (scalars[i].kind == kind)
            return i;
    abort();
}

/* Gives every field its kind and target, and joins X with X_value. */
static void resolve(struct message *m, struct field *f)
{
    int message = find_message(f->type, m->full);
    int enumeration = find_enum(f->type, m->full);

    if (f->kind == PB_KIND_MAP) {
        f->flags |= PB_REPEATED;
        if (message < 0)
            return;
        f->kind = PB_KIND_MAP_MSG;
        messages[message].mapped = 1;
    } else if (message >= 0) {
        f->kind = PB_KIND_MESSAGE;
    } else if (enumeration >= 0) {
        f->kind = PB_KIND_ENUM;
    } else {
        size_t i = 0;

        while (scalars[i].type[0] && strcmp(scalars[i].type, f->type) != 0)
            i++;
        if (!scalars[i].type[0])
            die("unknown type", f->type);
        f->kind = scalars[i].kind;
    }
    f->target = message >= 0 ? message : enumeration;
    for (struct field *x = m->fields; f->kind == PB_KIND_VALUE && x < f; x++) {
        size_t n = strlen(x->name);

        if (x->kind != PB_KIND_STRUCT || (x->flags | f->flags) & PB_REPEATED ||
            strncmp(f->name, x->name, n) != 0 || strcmp(f->name + n, "_value") != 0)
            continue;
        x->kind = PB_KIND_PAIR;
        x->number_value = f->number;
        f->hidden = 1;
    }
}

#include "proto_gen_out.h"

static char *read_all(const char *name)
{
    FILE *in = fopen(name, "rb");
    char *text = calloc(1, 1 << 20);

    path = name;
    if (!in || !text || fread(text, 1, (1 << 20) - 1, in) == 0)
        die("cannot read", name);
    fclose(in);
    return text;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    copy(messages[0].full, NAME, "google.protobuf.Empty");
    copy(messages[0].c, NAME, "pb_empty");
    messages_n = 1;
    for (int i = 3; i < argc; i++) {
        char *text = read_all(argv[i]);

        at = text;
        parse_file();
        free(text);
    }
    for (int i = 0; i < messages_n; i++)
        for (int k = 0; k < messages[i].n; k++)
            resolve(&messages[i], &messages[i].fields[k]);
    path = argv[1];
    write_header(fopen(argv[1], "w"));
    path = argv[2];
    write_source(fopen(argv[2], "w"));
    return 0;
}
