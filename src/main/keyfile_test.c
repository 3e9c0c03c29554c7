/* The bootstrap key file: whole, mode 0400, replaced, never half written. */
#include "main/keyfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/test.h"
#include "codec/json.h"

static struct arena arena;
static struct ctx c;
static char dir[] = "/tmp/ironflow-keyfile-XXXXXX";

static str_t path_of(const char *name)
{
    return str_printf(&arena, "%s/%s", dir, name);
}

static str_t content(str_t path)
{
    char *text = arena_zero(&arena, 4096);
    FILE *f = fopen(str_z(&arena, path), "r");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, 4095, f);
    fclose(f);
    return (str_t){ text, n };
}

static void assert_member(str_t json, const char *key, const char *value)
{
    str_t v = STR_NULL, s = STR_NULL;

    assert_true(json_get(json, str_from(key), &v));
    assert_true(json_string(&arena, v, &s));
    assert_str(s, value);
}

static void the_file_is_whole_and_private(void **state)
{
    str_t path = path_of("key.json"), json = STR_NULL;
    struct json_error e;
    struct stat st;

    (void)state;
    assert_int_equal(keyfile_write(&c, path, S("ifkey_1"), S("ak_1")), ERR_OK);
    assert_int_equal(stat(str_z(&arena, path), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0400);
    assert_true(json_check(content(path), &json, &e));
    assert_member(json, "key", "ifkey_1");
    assert_member(json, "id", "ak_1");
    assert_member(json, "environment_id", "env_default");
}

static void an_old_file_is_replaced(void **state)
{
    str_t path = path_of("key.json"), json = STR_NULL;
    struct json_error e;

    (void)state;
    assert_int_equal(keyfile_write(&c, path, S("ifkey_1"), S("ak_1")), ERR_OK);
    assert_int_equal(keyfile_write(&c, path, S("ifkey_2"), S("ak_2")), ERR_OK);
    assert_true(json_check(content(path), &json, &e));
    assert_member(json, "key", "ifkey_2");
    assert_true(json_check(content(path_of("key.json.old")), &json, &e));
    assert_member(json, "key", "ifkey_1");
}

static void a_missing_directory_is_made_private(void **state)
{
    struct stat st;
    static const char *const made[] = { "new", "new/deep", "new/deep/er" };

    (void)state;
    assert_int_equal(keyfile_write(&c, path_of("new/key.json"), S("k"), S("i")), ERR_OK);
    assert_int_equal(keyfile_write(&c, path_of("new/deep//er/key.json"), S("k"), S("i")), ERR_OK);
    for (size_t i = 0; i < COUNT_OF(made); i++) {
        assert_int_equal(stat(str_z(&arena, path_of(made[i])), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
    }
}

static void what_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(keyfile_write(&c, path_of("key.json/b/key.json"), S("k"), S("i")),
                     ERR_UNAVAILABLE);
    assert_true(str_find(err_text(&c, ERR_UNAVAILABLE), path_of("key.json/b")) >= 0);
    assert_int_equal(keyfile_write(&c, S("/dev/null/key.json"), S("k"), S("i")), ERR_UNAVAILABLE);
}

static int start(void **state)
{
    (void)state;
    arena_init(&arena);
    c.arena = &arena;
    return mkdtemp(dir) ? 0 : 1;
}

static int stop(void **state)
{
    static const char *const left[] = { "key.json",
                                        "key.json.old",
                                        "new/deep/er/key.json",
                                        "new/deep/er",
                                        "new/deep",
                                        "new/key.json",
                                        "new",
                                        "" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(left); i++)
        if (remove(str_z(&arena, path_of(left[i]))) != 0)
            return 1;
    arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_is_whole_and_private),
        cmocka_unit_test(an_old_file_is_replaced),
        cmocka_unit_test(a_missing_directory_is_made_private),
        cmocka_unit_test(what_cannot_be_written_is_an_error),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
