/* The table of functions and the names of types. */
#include "codec/cel_priv.h"

const struct cel_function cel_functions[] = {
    { "size", 1, 1, true, true, cel_fn_size },
    { "type", 1, 1, true, false, cel_fn_type },
    { "dyn", 1, 1, true, false, cel_fn_dyn },
    { "bool", 1, 1, true, false, cel_fn_bool },
    { "int", 1, 1, true, false, cel_fn_int },
    { "uint", 1, 1, true, false, cel_fn_uint },
    { "double", 1, 1, true, false, cel_fn_double },
    { "string", 1, 1, true, false, cel_fn_string },
    { "bytes", 1, 1, true, false, cel_fn_bytes },
    { "timestamp", 1, 1, true, false, cel_fn_timestamp },
    { "duration", 1, 1, true, false, cel_fn_duration },

    { "contains", 2, 2, false, true, cel_fn_contains },
    { "startsWith", 2, 2, false, true, cel_fn_starts },
    { "endsWith", 2, 2, false, true, cel_fn_ends },
    { "matches", 2, 2, true, true, cel_fn_matches },
    { "charAt", 2, 2, false, true, cel_fn_char_at },
    { "indexOf", 2, 3, false, true, cel_fn_index_of },
    { "lastIndexOf", 2, 3, false, true, cel_fn_last_index_of },
    { "join", 1, 2, false, true, cel_fn_join },
    { "replace", 3, 4, false, true, cel_fn_replace },
    { "split", 2, 3, false, true, cel_fn_split },
    { "substring", 2, 3, false, true, cel_fn_substring },
    { "lowerAscii", 1, 1, false, true, cel_fn_lower },
    { "upperAscii", 1, 1, false, true, cel_fn_upper },
    { "trim", 1, 1, false, true, cel_fn_trim },
    { "reverse", 1, 1, false, true, cel_fn_reverse },
    { "format", 2, 2, false, true, cel_fn_format },
    { "strings.quote", 1, 1, true, false, cel_fn_quote },

    { "getFullYear", 1, 2, false, true, cel_fn_year },
    { "getMonth", 1, 2, false, true, cel_fn_month },
    { "getDate", 1, 2, false, true, cel_fn_date },
    { "getDayOfMonth", 1, 2, false, true, cel_fn_day_of_month },
    { "getDayOfWeek", 1, 2, false, true, cel_fn_day_of_week },
    { "getDayOfYear", 1, 2, false, true, cel_fn_day_of_year },
    { "getHours", 1, 2, false, true, cel_fn_hours },
    { "getMinutes", 1, 2, false, true, cel_fn_minutes },
    { "getSeconds", 1, 2, false, true, cel_fn_seconds },
    { "getMilliseconds", 1, 2, false, true, cel_fn_millis },
};
const size_t cel_functions_n = COUNT_OF(cel_functions);

int cel_function_find(str_t name, bool member, size_t argc, bool *named)
{
    *named = false;
    for (size_t i = 0; i < COUNT_OF(cel_functions); i++) {
        const struct cel_function *f = &cel_functions[i];

        if (!(member ? f->member : f->global) || !str_eq(name, str_from(f->name)))
            continue;
        *named = true;
        if (argc >= f->min && argc <= f->max)
            return (int)i;
    }
    return -1;
}

bool cel_type_find(str_t name, struct cel_value *out)
{
    for (int t = CEL_NULL; t <= CEL_TYPE; t++)
        if (str_eq(name, cel_type_name((enum cel_type)t))) {
            *out = (struct cel_value){ .type = CEL_TYPE, .s = cel_type_name((enum cel_type)t) };
            return true;
        }
    return false;
}
