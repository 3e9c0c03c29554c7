/* The table and the router: every row is found, precedence, methods, parameters. */
#include "api/router.h"

#include "base/must.h"
#include "base/test.h"

static struct router *router;

static struct route_match find(const char *method, const char *path)
{
    struct route_match m;

    router_find(router, router_method(str_from(method)), str_from(path), &m);
    return m;
}

static void every_row_is_found_by_its_own_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < router_count(router); i++) {
        const struct endpoint *ep = router_at(router, i);
        str_t path = ep->rpc ? ep->rpc->path : str_from(ep->route->path);
        struct route_match m;

        router_find(router, router_method(str_from(ep->route->method)), path, &m);
        assert_ptr_equal(m.ep, ep);
        for (size_t k = 0; k < ep->params_n; k++)
            assert_true(m.params[k].n > 0 && m.params[k].p[0] == '{');
    }
}

static void every_rpc_is_served_or_says_so(void **state)
{
    size_t n = 0;

    (void)state;
    for (const struct pb_rpc *rpc = pb_rpcs; rpc->path.n > 0; rpc++, n++) {
        struct route_match m;

        router_find(router, METHOD_POST, rpc->path, &m);
        assert_non_null(m.ep);
        assert_ptr_equal(m.ep->rpc, rpc);
        assert_ptr_equal(m.ep->in, rpc->request);
        router_find(router, METHOD_GET, rpc->path, &m);
        assert_int_equal(m.ep != NULL, rpc->get && rpc->kind == PB_UNARY);
    }
    assert_true(n >= 113);
}

static void parameters_are_bound_in_order(void **state)
{
    struct route_match m = find("PUT", "/api/v1/workers/w%201/jobs/job_7/ack");

    (void)state;
    assert_non_null(m.ep);
    assert_str(m.ep->params[0], "id");
    assert_str(m.ep->params[1], "job");
    assert_str(m.params[0], "w%201");
    assert_str(m.params[1], "job_7");
}

static void a_literal_segment_wins_over_a_parameter(void **state)
{
    (void)state;
    assert_string_equal(find("GET", "/api/v1/events/schemas").ep->route->path,
                        "/api/v1/events/schemas");
    assert_string_equal(find("GET", "/api/v1/events/names").ep->route->path,
                        "/api/v1/events/names");
    assert_string_equal(find("GET", "/api/v1/events/evt_1").ep->route->path, "/api/v1/events/{id}");
    assert_string_equal(find("POST", "/api/v1/runs/resume").ep->route->path, "/api/v1/runs/resume");
    /* Another method on the same text is the parameter's. */
    assert_string_equal(find("GET", "/api/v1/runs/resume").ep->route->path, "/api/v1/runs/{id}");
}

static void a_tail_takes_the_rest_of_the_path(void **state)
{
    struct route_match m = find("GET", "/api/v1/kv/buckets/b/keys/a/b/c");

    (void)state;
    assert_non_null(m.ep);
    assert_str(m.params[0], "b");
    assert_str(m.params[1], "a/b/c");
    assert_string_equal(find("GET", "/api/v1/kv/buckets/b/keys").ep->route->path,
                        "/api/v1/kv/buckets/{bucket}/keys");
}

static void another_method_names_those_allowed(void **state)
{
    struct route_match m = find("DELETE", "/api/v1/events");

    (void)state;
    assert_null(m.ep);
    assert_int_equal(m.allow, 1u << METHOD_GET | 1u << METHOD_POST);
    m = find("BREW", "/api/v1/events");
    assert_null(m.ep);
    assert_true(m.allow != 0);
    m = find("GET", "/ironflow.v1.IronflowService/Trigger");
    assert_null(m.ep);
    assert_int_equal(m.allow, 1u << METHOD_POST);
}

static void head_is_for_probes_only(void **state)
{
    (void)state;
    assert_non_null(find("HEAD", "/health").ep);
    assert_non_null(find("HEAD", "/api/v1/ready").ep);
    assert_null(find("HEAD", "/api/v1/runs").ep);
}

static void unknown_paths_are_unknown(void **state)
{
    static const char *const paths[] = { "/",
                                         "",
                                         "x",
                                         "/api/v1/nothing",
                                         "/api/v1/runs/",
                                         "/api/v1/runs//steps",
                                         "/api/v1//runs",
                                         "/api/v1/runs/r/steps/x",
                                         "/api/v1/runs/r/steps/",
                                         "/ironflow.v1.IronflowService/",
                                         "/ironflow.v1.IronflowService/Nothing",
                                         "//health",
                                         "/health/" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct route_match m = find("GET", paths[i]);

        assert_null(m.ep);
        assert_int_equal(m.allow, 0);
    }
}

static int start(void **state)
{
    (void)state;
    router = router_new();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    router_free(router);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found_by_its_own_path),
        cmocka_unit_test(every_rpc_is_served_or_says_so),
        cmocka_unit_test(parameters_are_bound_in_order),
        cmocka_unit_test(a_literal_segment_wins_over_a_parameter),
        cmocka_unit_test(a_tail_takes_the_rest_of_the_path),
        cmocka_unit_test(another_method_names_those_allowed),
        cmocka_unit_test(head_is_for_probes_only),
        cmocka_unit_test(unknown_paths_are_unknown),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
