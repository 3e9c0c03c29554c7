/* The writing half of proto_gen.c, included there once. */
#pragma once

static const char *member(const struct field *f)
{
    static const char *const words[] = { "register", "default", "int", "long", "case", "static" };
    static char out[NAME + 1];

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(words[i], f->name)) {
            snprintf(out, sizeof(out), "%s_", f->name);
            return out;
        }
    return f->name;
}

static void write_member(FILE *o, const struct field *f)
{
    const char *star = f->flags & PB_REPEATED ? "*" : "";

    if (f->kind == PB_KIND_MESSAGE) /* a list of messages is an array, a single one a pointer */
        fprintf(o, "    struct %s *%s;\n", messages[f->target].c, member(f));
    else if (f->kind == PB_KIND_MAP_MSG)
        fprintf(o, "    struct %s_pair *%s;\n", messages[f->target].c, member(f));
    else
        fprintf(o, "    %s %s%s;", scalars[row_of(f->kind)].c, star, member(f));
    if (f->kind == PB_KIND_ENUM)
        fprintf(o, " /* enum %s */", enums[f->target].c);
    if (f->kind != PB_KIND_MESSAGE && f->kind != PB_KIND_MAP_MSG)
        fputc('\n', o);
    if (f->flags & PB_REPEATED)
        fprintf(o, "    size_t %s_n;\n", f->name);
    if (f->flags & PB_OPTIONAL)
        fprintf(o, "    bool has_%s;\n", f->name);
}

static void write_header(FILE *o)
{
    if (!o)
        die("cannot write", path);
    fprintf(o, "/* Made by scripts/gen/proto_gen.c from proto/; do not edit. */\n#pragma once\n\n"
               "#include \"codec/proto.h\"\n\n");
    for (int i = 0; i < enums_n; i++) {
        fprintf(o, "enum %s {\n", enums[i].c);
        for (int k = 0; k < enums[i].n; k++)
            fprintf(o, "    PB_%s = %d,\n", enums[i].values[k].name, enums[i].values[k].number);
        fprintf(o, "};\nextern const struct pb_enum %s_enum;\n\n", enums[i].c);
    }
    for (int i = 0; i < messages_n; i++)
        fprintf(o, "struct %s;\n", messages[i].c);
    for (int i = 0; i < messages_n; i++) {
        const struct message *m = &messages[i];

        fprintf(o, "\nstruct %s {\n", m->c);
        for (int k = 0; k < m->n; k++)
            if (!m->fields[k].hidden)
                write_member(o, &m->fields[k]);
        fprintf(o, "%s};\n", m->n ? "" : "    char none; /* no fields */\n");
        if (m->mapped)
            fprintf(o, "struct %s_pair {\n    str_t key;\n    struct %s *value;\n};\n", m->c, m->c);
        fprintf(o, "extern const struct pb_message %s_desc;\n", m->c);
    }
    if (fclose(o) != 0)
        die("cannot write", path);
}

static void write_str(FILE *o, const char *s)
{
    fprintf(o, "{ \"%s\", %zu }, ", s, strlen(s));
}

static void write_field(FILE *o, const struct message *m, const struct field *f)
{
    char value[NAME * 2] = "";

    if (f->kind == PB_KIND_PAIR)
        snprintf(value, sizeof(value), "%sValue", f->json);
    fprintf(o, "    { ");
    write_str(o, f->name), write_str(o, f->json), write_str(o, f->rest), write_str(o, value);
    fprintf(o, "%d, %d, PB_KIND_%s, %d, offsetof(struct %s, %s), ", f->number, f->number_value,
            scalars[row_of(f->kind)].text, f->flags, m->c, member(f));
    if (f->flags & PB_REPEATED)
        fprintf(o, "offsetof(struct %s, %s_n), ", m->c, f->name);
    else if (f->flags & PB_OPTIONAL)
        fprintf(o, "offsetof(struct %s, has_%s), ", m->c, f->name);
    else
        fprintf(o, "0, ");
    if (f->kind == PB_KIND_ENUM)
        fprintf(o, "{ .enumeration = &%s_enum } },\n", enums[f->target].c);
    else if (f->kind == PB_KIND_MESSAGE || f->kind == PB_KIND_MAP_MSG)
        fprintf(o, "{ .message = &%s_desc } },\n", messages[f->target].c);
    else
        fprintf(o, "{ .message = NULL } },\n");
}

static struct pb_name slots[512];
static char slot_text[512][NAME * 2];

static void add_name(uint32_t mask, const char *name, int field, int value)
{
    uint32_t i = pb_name_hash(name, strlen(name)) & mask;

    for (; slots[i].name.p; i = (i + 1) & mask)
        if (!strcmp(slots[i].name.p, name)) {
            if (slots[i].field != field || slots[i].value != value)
                die("two fields of one name", name);
            return;
        }
    strcpy(slot_text[i], name);
    slots[i] = (struct pb_name){ { slot_text[i], strlen(name) }, (uint8_t)field, (uint8_t)value };
}

/* Fills the table of a message's names; returns its mask. */
static uint32_t fill_names(const struct message *m)
{
    uint32_t size = 4;
    int field = 0;

    memset(slots, 0, sizeof(slots));
    while (size < (uint32_t)m->n * 5)
        size *= 2;
    for (int k = 0; k < m->n; k++) {
        const struct field *f = &m->fields[k];
        char text[NAME * 2];

        if (f->hidden)
            continue;
        add_name(size - 1, f->name, field, 0);
        add_name(size - 1, f->json, field, 0);
        add_name(size - 1, f->rest, field, 0);
        if (f->kind == PB_KIND_PAIR) {
            snprintf(text, sizeof(text), "%s_value", f->name);
            add_name(size - 1, text, field, 1);
            snprintf(text, sizeof(text), "%sValue", f->json);
            add_name(size - 1, text, field, 1);
        }
        field++;
    }
    return size - 1;
}

static void write_message(FILE *o, const struct message *m)
{
    uint32_t mask = fill_names(m);
    int fields = 0;

    if (m->n) {
        fprintf(o, "static const struct pb_field %s_fields[] = {\n", m->c);
        for (int k = 0; k < m->n; k++)
            if (!m->fields[k].hidden) {
                write_field(o, m, &m->fields[k]);
                fields++;
            }
        fprintf(o, "};\n");
    }
    fprintf(o, "static const struct pb_name %s_names[%u] = {\n", m->c, mask + 1);
    for (uint32_t i = 0; i <= mask; i++)
        if (slots[i].name.p)
            fprintf(o, "    [%u] = { { \"%s\", %zu }, %d, %d },\n", i, slots[i].name.p,
                    slots[i].name.n, slots[i].field, slots[i].value);
    fprintf(o, "%s};\nconst struct pb_message %s_desc = {\n    ",
            m->n ? "" : "    [0] = { { NULL, 0 }, 0, 0 },\n", m->c);
    write_str(o, m->full);
    fprintf(o, "sizeof(struct %s), %s%s, %s_names, %d, %u, %d\n};\n\n", m->c, m->n ? m->c : "NULL",
            m->n ? "_fields" : "", m->c, fields, mask, m->flags);
}

static void write_enum(FILE *o, const struct enumeration *e)
{
    fprintf(o, "static const struct pb_enum_value %s_values[] = {\n", e->c);
    for (int k = 0; k < e->n; k++) {
        char word[NAME];

        copy(word, NAME, e->values[k].name + strlen(e->prefix));
        for (char *p = word; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        fprintf(o, "    { ");
        write_str(o, e->values[k].name), write_str(o, word), write_str(o, e->values[k].rest);
        fprintf(o, "%d },\n", e->values[k].number);
    }
    fprintf(o, "};\nconst struct pb_enum %s_enum = { ", e->c);
    write_str(o, e->full);
    fprintf(o, "%s_values, %d };\n\n", e->c, e->n);
}

static void write_source(FILE *o)
{
    if (!o)
        die("cannot write", path);
    fprintf(o, "/* Made by scripts/gen/proto_gen.c from proto/; do not edit. */\n"
               "#include \"proto/ironflow.h\"\n\n#include \"codec/proto_desc.h\"\n\n");
    for (int i = 0; i < enums_n; i++)
        write_enum(o, &enums[i]);
    for (int i = 0; i < messages_n; i++)
        write_message(o, &messages[i]);
    fprintf(o, "const struct pb_rpc pb_rpcs[] = {\n");
    for (int i = 0; i < rpcs_n; i++) {
        static const char *const kinds[] = { "PB_UNARY", "PB_SERVER_STREAM", "PB_BIDI" };
        const struct rpc *r = &rpcs[i];
        char text[NAME * 4];
        int in, out;

        snprintf(text, sizeof(text), "%s.", r->package);
        in = find_message(r->in, text);
        out = find_message(r->out, text);
        if (in < 0 || out < 0)
            die("unknown message of rpc", r->method);
        snprintf(text, sizeof(text), "/%s.%s/%s", r->package, r->service, r->method);
        fprintf(o, "    { ");
        write_str(o, text), write_str(o, r->service), write_str(o, r->method);
        fprintf(o, "&%s_desc, &%s_desc, %s, %s },\n", messages[in].c, messages[out].c,
                kinds[r->kind], r->get ? "true" : "false");
    }
    fprintf(o, "    { { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, NULL, NULL, PB_UNARY, false },\n};\n");
    if (fclose(o) != 0)
        die("cannot write", path);
}
