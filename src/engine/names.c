/* Which names events, patterns and functions may have. Names are dot-separated tokens. */
#include "engine/match.h"

/* The code point at index at of well-formed UTF-8; *step is its length. */
static uint32_t code_at(str_t s, size_t at, size_t *step)
{
    const unsigned char *p = (const unsigned char *)s.p + at;
    uint32_t code;

    *step = str_utf8_step(s, at);
    if (*step <= 1)
        return p[0];
    code = p[0] & (0xffu >> (*step + 1));
    for (size_t i = 1; i < *step; i++)
        code = code << 6 | (p[i] & 0x3fu);
    return code;
}

static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

static bool is_space(uint32_t code)
{
    static const uint32_t spaces[] = { 0x20, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000 };

    for (size_t i = 0; i < COUNT_OF(spaces); i++)
        if (spaces[i] == code)
            return true;
    return code >= 0x2000 && code <= 0x200a;
}

struct shape {
    bool utf8, control, space, only_space;
};

static struct shape shape_of(str_t s)
{
    struct shape shape = { .utf8 = true, .only_space = true };

    for (size_t i = 0, step = 0; i < s.n; i += step) {
        uint32_t code;

        if (str_utf8_step(s, i) == 0) {
            shape.utf8 = false;
            return shape;
        }
        code = code_at(s, i, &step);
        if (is_control(code))
            shape.control = true;
        if (is_space(code))
            shape.space = true;
        else
            shape.only_space = false;
    }
    return shape;
}

static err_t text_check(struct ctx *c, const char *what, str_t s, size_t max, struct shape *shape)
{
    *shape = shape_of(s);
    if (s.n == 0)
        return err_set(c, ERR_INVALID, "%s is required", what);
    if (s.n > max)
        return err_set(c, ERR_INVALID, "%s: longer than %zu bytes", what, max);
    if (!shape->utf8)
        return err_set(c, ERR_INVALID, "%s: not valid UTF-8", what);
    if (shape->control)
        return err_set(c, ERR_INVALID, "%s: control characters are not allowed", what);
    if (shape->only_space)
        return err_set(c, ERR_INVALID, "%s: must not be blank", what);
    return ERR_OK;
}

static bool has_empty_token(str_t s)
{
    return s.p[0] == '.' || s.p[s.n - 1] == '.' || str_find(s, S("..")) >= 0;
}

err_t event_name_check(struct ctx *c, str_t name)
{
    struct shape shape;
    str_t rest = name, token;

    TRY(text_check(c, "name", name, EVENT_NAME_MAX, &shape));
    if (has_empty_token(name))
        return err_set(c, ERR_INVALID, "name: a token between dots is empty");
    while (str_cut(&rest, '.', &token))
        if (str_eq(token, S("*")) || str_eq(token, S(">")))
            return err_set(c, ERR_INVALID, "name: the token \"" STR_FMT "\" is a wildcard",
                           STR_ARG(token));
    return ERR_OK;
}

err_t event_pattern_check(struct ctx *c, str_t pattern)
{
    struct shape shape;
    str_t rest = pattern, token;
    bool tail = false;

    TRY(text_check(c, "event", pattern, EVENT_NAME_MAX, &shape));
    if (has_empty_token(pattern))
        return err_set(c, ERR_INVALID, "event: a token between dots is empty");
    while (str_cut(&rest, '.', &token)) {
        if (tail)
            return err_set(c, ERR_INVALID, "event: \">\" must be the last token");
        if (str_eq(token, S(">")))
            tail = true;
        else if (token.n > 1 && (str_index(token, '*') >= 0 || str_index(token, '>') >= 0))
            return err_set(c, ERR_INVALID, "event: \"*\" and \">\" must be whole tokens");
    }
    return ERR_OK;
}

err_t function_id_check(struct ctx *c, str_t id)
{
    struct shape shape;

    TRY(text_check(c, "id", id, FUNCTION_ID_MAX, &shape));
    if (shape.space)
        return err_set(c, ERR_INVALID, "id: blanks are not allowed");
    if (str_index(id, '*') >= 0 || str_index(id, '>') >= 0)
        return err_set(c, ERR_INVALID, "id: \"*\" and \">\" are not allowed");
    if (has_empty_token(id))
        return err_set(c, ERR_INVALID, "id: a segment between dots is empty");
    return ERR_OK;
}
