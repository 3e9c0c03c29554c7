/* Values: making them, walking over lists and maps whether they were computed or are JSON text,
 * equality. */
#include <string.h>

#include "codec/cel_priv.h"
#include "codec/json_scan.h"

#define EQUAL_DEPTH_MAX 256

struct cel_value cel_null(void)
{
    return (struct cel_value){ .type = CEL_NULL };
}

struct cel_value cel_bool(bool v)
{
    return (struct cel_value){ .type = CEL_BOOL, .boolean = v };
}

struct cel_value cel_int(int64_t v)
{
    return (struct cel_value){ .type = CEL_INT, .i = v };
}

struct cel_value cel_uint(uint64_t v)
{
    return (struct cel_value){ .type = CEL_UINT, .u = v };
}

struct cel_value cel_double(double v)
{
    return (struct cel_value){ .type = CEL_DOUBLE, .d = v };
}

struct cel_value cel_string(str_t s)
{
    return (struct cel_value){ .type = CEL_STRING, .s = s };
}

struct cel_value cel_bytes(str_t s)
{
    return (struct cel_value){ .type = CEL_BYTES, .s = s };
}

struct cel_value cel_duration(int64_t nanos)
{
    return (struct cel_value){ .type = CEL_DURATION, .i = nanos };
}

struct cel_value cel_time_ms(int64_t ms)
{
    int64_t rest = ms % 1000;
    int64_t seconds = ms / 1000 - (rest < 0);

    return cel_time(seconds, (rest + (rest < 0 ? 1000 : 0)) * 1000000);
}

struct cel_value cel_list(const struct cel_value *items, size_t n)
{
    return (struct cel_value){ .type = CEL_LIST, .list = { items, n } };
}

struct cel_value cel_map(const struct cel_entry *entries, size_t n)
{
    return (struct cel_value){ .type = CEL_MAP, .map = { entries, n } };
}

struct cel_value cel_error(const char *text)
{
    return (struct cel_value){ .type = CEL_ERROR, .s = str_from(text) };
}

struct cel_value cel_no_overload(void)
{
    return cel_error("no such overload");
}

struct cel_value cel_error_at(struct cel_run *r, const char *what, str_t name)
{
    str_t head = str_from(what);
    char *p;

    if (name.n > 64)
        for (name.n = 64; name.n > 0 && ((unsigned char)name.p[name.n] & 0xC0) == 0x80;)
            name.n--; /* not within a character */
    p = arena_alloc(r->arena, head.n + 2 + name.n);
    memcpy(p, head.p, head.n);
    p[head.n] = ':';
    p[head.n + 1] = ' ';
    if (name.n > 0)
        memcpy(p + head.n + 2, name.p, name.n);
    return (struct cel_value){ .type = CEL_ERROR, .s = { p, head.n + 2 + name.n } };
}

struct cel_value cel_json(struct arena *a, str_t value)
{
    struct cel_value v = { .type = CEL_NULL };

    switch (json_type(value)) {
    case JSON_NULL:
        break;
    case JSON_BOOL:
        return cel_bool(value.p[0] == 't');
    case JSON_NUMBER:
        v.json = true;
        if (json_i64(value, &v.i))
            v.type = CEL_INT;
        else if (json_double(value, &v.d))
            v.type = CEL_DOUBLE;
        else
            return cel_error("number is out of range");
        break;
    case JSON_STRING:
        v.type = CEL_STRING;
        if (!json_string(a, value, &v.s))
            return cel_error("malformed string");
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        v.json = true;
        v.type = json_type(value) == JSON_ARRAY ? CEL_LIST : CEL_MAP;
        v.s = value;
        break;
    }
    return v;
}

/* ---- lists and maps ---- */

struct cel_iter cel_iter(const struct cel_value *of)
{
    struct cel_iter it = { .of = of };

    if (of->json)
        it.json = json_iter(of->s);
    return it;
}

static bool next_json(struct cel_run *r, struct cel_iter *it, struct cel_value *key,
                      struct cel_value *value)
{
    if (!json_next(&it->json))
        return false;
    if (key)
        *key = cel_string(json_raw_string(r->arena, it->json.key));
    if (value)
        *value = cel_json(r->arena, it->json.value);
    return cel_charge_bytes(r, it->json.key.n + it->json.value.n);
}

bool cel_iter_next(struct cel_run *r, struct cel_iter *it, struct cel_value *key,
                   struct cel_value *value)
{
    const struct cel_value *of = it->of;
    size_t at = it->at++;

    if (at % 4 == 3 && !cel_charge(r, 1))
        return false;
    if (of->json)
        return next_json(r, it, key, value);
    if (of->type == CEL_LIST) {
        if (at >= of->list.n)
            return false;
        if (value)
            *value = of->list.p[at];
        return true;
    }
    if (at >= of->map.n)
        return false;
    if (key)
        *key = of->map.p[at].key;
    if (value)
        *value = of->map.p[at].value;
    return true;
}

size_t cel_count(struct cel_run *r, const struct cel_value *v)
{
    size_t n = 0;

    if (!v->json)
        return v->type == CEL_LIST ? v->list.n : v->map.n;
    if (cel_charge_bytes(r, v->s.n))
        for (struct json_iter it = json_iter(v->s); json_next(&it);)
            n++;
    return n;
}

bool cel_field(struct cel_run *r, const struct cel_value *map, str_t name, struct cel_value *out)
{
    str_t found;

    if (map->json) {
        if (!cel_charge_bytes(r, map->s.n) || !json_get(map->s, name, &found))
            return false;
        *out = cel_json(r->arena, found);
        return true;
    }
    if (!cel_charge(r, map->map.n / 8) || !cel_charge_bytes(r, name.n))
        return false;
    for (size_t i = 0; i < map->map.n; i++) {
        const struct cel_entry *e = &map->map.p[i];

        if (e->key.type == CEL_STRING && str_eq(e->key.s, name)) {
            *out = e->value;
            return true;
        }
    }
    return false;
}

bool cel_lookup(struct cel_run *r, const struct cel_value *map, const struct cel_value *key,
                struct cel_value *out)
{
    if (key->type == CEL_STRING)
        return cel_field(r, map, key->s, out);
    if (map->json)
        return false;
    cel_charge(r, map->map.n / 8);
    for (size_t i = 0; i < map->map.n; i++)
        if (cel_compare(&map->map.p[i].key, key) == CEL_SAME) {
            *out = map->map.p[i].value;
            return true;
        }
    return false;
}

static struct cel_value list_at(struct cel_run *r, const struct cel_value *list,
                                const struct cel_value *key)
{
    struct cel_value item;
    int64_t at;

    if (!cel_integer(key, &at))
        return cel_error("invalid index");
    if (list->json && at >= 0)
        for (struct cel_iter it = cel_iter(list); cel_iter_next(r, &it, NULL, &item); at--)
            if (at == 0)
                return item;
    if (list->json || at < 0 || (uint64_t)at >= list->list.n)
        return cel_error("index out of range");
    return list->list.p[at];
}

struct cel_value cel_index(struct cel_run *r, const struct cel_value *of,
                           const struct cel_value *key)
{
    struct cel_value out;

    if (of->type == CEL_LIST)
        return list_at(r, of, key);
    if (of->type != CEL_MAP)
        return cel_no_overload();
    if (cel_lookup(r, of, key, &out))
        return out;
    out = cel_text(r, key);
    return cel_error_at(r, "no such key", out.type == CEL_STRING ? out.s : S("?"));
}

/* ---- equality ---- */

static bool equal(struct cel_run *r, const struct cel_value *a, const struct cel_value *b,
                  unsigned depth);

static bool lists_equal(struct cel_run *r, const struct cel_value *a, const struct cel_value *b,
                        unsigned depth)
{
    struct cel_iter x = cel_iter(a), y = cel_iter(b);
    struct cel_value u, v;

    while (cel_iter_next(r, &x, NULL, &u))
        if (!cel_iter_next(r, &y, NULL, &v) || !equal(r, &u, &v, depth))
            return false;
    return !cel_iter_next(r, &y, NULL, &v);
}

static bool maps_equal(struct cel_run *r, const struct cel_value *a, const struct cel_value *b,
                       unsigned depth)
{
    struct cel_value key, u, v;

    if (cel_count(r, a) != cel_count(r, b))
        return false;
    for (struct cel_iter it = cel_iter(a); cel_iter_next(r, &it, &key, &u);)
        if (!cel_lookup(r, b, &key, &v) || !equal(r, &u, &v, depth))
            return false;
    return true;
}

/* Depth is bounded because constructed values are as deep as the expression and JSON is checked;
 * past the bound the evaluation ends like one that costs too much. */
static bool equal(struct cel_run *r, const struct cel_value *a, const struct cel_value *b,
                  unsigned depth)
{
    if (a->type == b->type && a->json && b->json && !cel_is_number(a) && str_eq(a->s, b->s))
        return cel_charge_bytes(r, a->s.n);
    if (a->type == CEL_LIST && b->type == CEL_LIST) {
        if (depth == EQUAL_DEPTH_MAX)
            r->exhausted = true;
        return !r->exhausted && lists_equal(r, a, b, depth + 1);
    }
    if (a->type == CEL_MAP && b->type == CEL_MAP) {
        if (depth == EQUAL_DEPTH_MAX)
            r->exhausted = true;
        return !r->exhausted && maps_equal(r, a, b, depth + 1);
    }
    if (a->type == CEL_NULL || a->type == CEL_TYPE)
        return a->type == b->type && (a->type == CEL_NULL || str_eq(a->s, b->s));
    if (a->type == CEL_STRING || a->type == CEL_BYTES) {
        cel_charge_bytes(r, a->s.n);
        return a->type == b->type && str_eq(a->s, b->s);
    }
    return cel_compare(a, b) == CEL_SAME;
}

bool cel_equal(struct cel_run *r, const struct cel_value *a, const struct cel_value *b)
{
    return equal(r, a, b, 0);
}

str_t cel_type_name(enum cel_type t)
{
    static const char *const names[] = {
        [CEL_ERROR] = "error",
        [CEL_NULL] = "null_type",
        [CEL_BOOL] = "bool",
        [CEL_INT] = "int",
        [CEL_UINT] = "uint",
        [CEL_DOUBLE] = "double",
        [CEL_STRING] = "string",
        [CEL_BYTES] = "bytes",
        [CEL_LIST] = "list",
        [CEL_MAP] = "map",
        [CEL_TIMESTAMP] = "google.protobuf.Timestamp",
        [CEL_DURATION] = "google.protobuf.Duration",
        [CEL_TYPE] = "type",
    };

    return str_from(names[t]);
}
