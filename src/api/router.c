/* The router: a map of exact paths and, for patterns, a tree with one node a segment. Both are
 * built from routes[] and the RPC list at start and never change. */
#include "api/router.h"

#include "base/map.h"
#include "base/mem.h"

struct leaf {
    const struct endpoint *by_method[METHOD_COUNT];
    unsigned allow;
    bool open;
};

struct node {
    struct map children;    /* literal segment -> struct node */
    struct node *param;     /* any segment */
    struct leaf leaf, tail; /* tail: the rest of the path is one parameter */
    bool has_tail;
    struct node *all; /* the node made before it */
};

struct router {
    struct arena arena; /* nodes, leaves, endpoints */
    struct map exact;   /* path -> struct leaf */
    struct node *root, *all;
    struct endpoint *endpoints;
    size_t endpoints_n;
};

static const char *const method_names[METHOD_COUNT] = { "GET",    "POST", "PUT",    "PATCH",
                                                        "DELETE", "HEAD", "OPTIONS" };

const char *router_method_name(enum api_method m)
{
    return method_names[m];
}

enum api_method router_method(str_t method)
{
    for (enum api_method m = 0; m < METHOD_COUNT; m++)
        if (str_eq(method, str_from(method_names[m])))
            return m;
    return METHOD_COUNT;
}

static void leaf_add(struct leaf *l, const struct endpoint *ep)
{
    enum api_method m = router_method(str_from(ep->route->method));

    must(m != METHOD_COUNT && !l->by_method[m]);
    l->by_method[m] = ep;
    l->allow |= 1u << m;
    l->open = l->open || (ep->route->flags & ROUTE_PUBLIC) != 0;
    if (ep->rpc && ep->rpc->get && ep->rpc->kind == PB_UNARY) {
        l->by_method[METHOD_GET] = ep;
        l->allow |= 1u << METHOD_GET;
    }
    if (ep->route->flags & ROUTE_HEAD) {
        l->by_method[METHOD_HEAD] = ep;
        l->allow |= 1u << METHOD_HEAD;
    }
}

static struct node *node_new(struct router *r)
{
    struct node *n = NEW(&r->arena, struct node);

    n->all = r->all;
    r->all = n;
    return n;
}

static struct node *node_child(struct router *r, struct node *n, str_t segment)
{
    struct node *child;

    if (segment.p[0] == '{') {
        if (!n->param)
            n->param = node_new(r);
        return n->param;
    }
    child = map_get_str(&n->children, segment);
    if (!child) {
        child = node_new(r);
        map_put_str(&n->children, segment, child);
    }
    return child;
}

/* Adds an endpoint whose path has parameters. */
static void add_pattern(struct router *r, struct endpoint *ep)
{
    str_t rest = str_from(ep->route->path), segment;
    struct node *n = r->root;

    rest = str_slice(rest, 1, rest.n);
    while (str_cut(&rest, '/', &segment)) {
        must(segment.n > 0);
        if (segment.p[0] == '{') {
            str_t name = str_slice(segment, 1, segment.n - 1);
            bool tail = str_ends(name, S("..."));

            must(ep->params_n < API_PARAMS_MAX && str_ends(segment, S("}")));
            ep->params[ep->params_n++] = tail ? str_slice(name, 0, name.n - 3) : name;
            if (tail) {
                must(rest.n == 0);
                n->has_tail = true;
                leaf_add(&n->tail, ep);
                return;
            }
        }
        n = node_child(r, n, segment);
    }
    leaf_add(&n->leaf, ep);
}

static void add(struct router *r, const struct route *route, const struct pb_rpc *rpc, str_t path)
{
    struct endpoint *ep = &r->endpoints[r->endpoints_n++];
    struct leaf *leaf;

    *ep = (struct endpoint){ .route = route, .rpc = rpc, .index = r->endpoints_n - 1 };
    ep->in = rpc ? rpc->request : route->in;
    ep->out = rpc ? rpc->response : route->out;
    if (str_index(path, '{') >= 0) {
        add_pattern(r, ep);
        return;
    }
    leaf = map_get_str(&r->exact, path);
    if (!leaf) {
        leaf = NEW(&r->arena, struct leaf);
        map_put_str(&r->exact, path, leaf);
    }
    leaf_add(leaf, ep);
}

static const struct pb_rpc *rpc_of(str_t path)
{
    for (const struct pb_rpc *rpc = pb_rpcs; rpc->path.n > 0; rpc++)
        if (str_eq(rpc->path, path))
            return rpc;
    return NULL;
}

struct router *router_new(void)
{
    struct router *r = mem_zero(sizeof(*r));
    size_t rpcs_n = 0;

    while (pb_rpcs[rpcs_n].path.n > 0)
        rpcs_n++;
    arena_init(&r->arena);
    r->root = node_new(r);
    r->endpoints = NEW_N(&r->arena, struct endpoint, routes_n + rpcs_n);
    for (size_t i = 0; i < routes_n; i++)
        add(r, &routes[i], rpc_of(str_from(routes[i].path)), str_from(routes[i].path));
    for (size_t i = 0; i < rpcs_n; i++)
        if (!map_get_str(&r->exact, pb_rpcs[i].path))
            add(r, &route_rpc_unbuilt, &pb_rpcs[i], pb_rpcs[i].path);
    return r;
}

void router_free(struct router *r)
{
    if (!r)
        return;
    for (struct node *n = r->all; n; n = n->all)
        map_done(&n->children);
    map_done(&r->exact);
    arena_done(&r->arena);
    mem_free(r);
}

const struct endpoint *router_at(const struct router *r, size_t i)
{
    return &r->endpoints[i];
}

size_t router_count(const struct router *r)
{
    return r->endpoints_n;
}

static void take(const struct leaf *l, enum api_method m, struct route_match *out)
{
    out->allow |= l->allow;
    out->open = out->open || l->open;
    if (!out->ep && m != METHOD_COUNT)
        out->ep = l->by_method[m];
}

/* The path ends with a slash here, which few rows allow. */
static void take_slash(const struct leaf *l, enum api_method m, struct route_match *out)
{
    if (m != METHOD_COUNT && l->by_method[m] && l->by_method[m]->route->flags & ROUTE_SLASH)
        take(l, m, out);
}

/* Walks the tree: a literal segment wins over a parameter. */
static void find_pattern(const struct router *r, enum api_method m, str_t path,
                         struct route_match *out)
{
    const struct node *n = r->root;
    str_t rest = str_slice(path, 1, path.n), segment, left;
    size_t k = 0;

    while (left = rest, str_cut(&rest, '/', &segment)) {
        const struct node *child = map_get_str(&n->children, segment);

        if (segment.n == 0)
            return;
        if (!child && n->has_tail) {
            out->params[k] = left;
            take(&n->tail, m, out);
            return;
        }
        if (!child) {
            child = n->param;
            if (!child)
                return;
            out->params[k++] = segment;
        }
        n = child;
    }
    if (path.p[path.n - 1] != '/')
        take(&n->leaf, m, out);
    else
        take_slash(&n->leaf, m, out);
}

void router_find(const struct router *r, enum api_method m, str_t path, struct route_match *out)
{
    const struct leaf *exact = map_get_str(&r->exact, path);

    *out = (struct route_match){ 0 };
    if (exact)
        take(exact, m, out);
    if (!out->ep && path.n > 1 && path.p[0] == '/')
        find_pattern(r, m, path, out);
}
