/* Push mode: a server calls an HTTP endpoint of ours, and these functions turn the body of its
 * request into the body of the answer. A request is checked, then run like an assignment of a
 * worker that reports everything at the end. SHA-256 is here, so that the library needs no other.
 */
#include <stdio.h>
#include <stdlib.h>

#include "worker_priv.h"

#define BLOCK ((size_t)64)
#define DIGEST ((size_t)32)
#define HEX (2 * DIGEST)
#define TOLERANCE_S 300

/* ---- HMAC-SHA-256 (FIPS 180-4, RFC 2104) ---- */

struct sha {
    uint32_t h[8];
    unsigned char block[BLOCK];
    uint64_t n;
};

static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void sha_block(struct sha *s)
{
    uint32_t w[64], v[8];

    for (size_t i = 0; i < 16; i++)
        w[i] = (uint32_t)s->block[4 * i] << 24 | (uint32_t)s->block[4 * i + 1] << 16 |
               (uint32_t)s->block[4 * i + 2] << 8 | s->block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];

        w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
               (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, s->h, sizeof(v));
    for (int i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t t1 = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                      ((e & v[5]) ^ (~e & v[6])) + sha_k[i] + w[i];
        uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
                      ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));

        memmove(v + 1, v, 7 * sizeof(v[0]));
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        s->h[i] += v[i];
}

static void sha_begin(struct sha *s)
{
    static const uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

    memcpy(s->h, h, sizeof(h));
    s->n = 0;
}

static void sha_add(struct sha *s, const void *p, size_t n)
{
    const unsigned char *at = p;

    for (size_t i = 0; i < n; i++) {
        s->block[s->n++ % BLOCK] = at[i];
        if (s->n % BLOCK == 0)
            sha_block(s);
    }
}

static void sha_end(struct sha *s, unsigned char out[DIGEST])
{
    static const unsigned char pad[BLOCK] = { 0x80 };
    uint64_t bits = s->n * 8;
    unsigned char length[8];

    sha_add(s, pad, 1 + (BLOCK + 55 - s->n % BLOCK) % BLOCK);
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> (56 - 8 * i));
    sha_add(s, length, sizeof(length));
    for (size_t i = 0; i < DIGEST; i++)
        out[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

static void hmac_pad(struct sha *s, const char *key, unsigned char mask)
{
    unsigned char block[BLOCK] = { 0 };
    size_t n = strlen(key);

    sha_begin(s);
    if (n > BLOCK) {
        sha_add(s, key, n);
        sha_end(s, block);
        sha_begin(s);
    } else {
        for (size_t i = 0; i < n; i++)
            block[i] = (unsigned char)key[i];
    }
    for (size_t i = 0; i < BLOCK; i++)
        block[i] ^= mask;
    sha_add(s, block, BLOCK);
}

/* Over the parts a and b as lower-case hex. */
static void hmac_hex(const char *key, const char *a, size_t a_n, const void *b, size_t b_n,
                     char out[HEX])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[DIGEST];
    struct sha s;

    hmac_pad(&s, key, 0x36);
    sha_add(&s, a, a_n);
    sha_add(&s, b, b_n);
    sha_end(&s, digest);
    hmac_pad(&s, key, 0x5c);
    sha_add(&s, digest, DIGEST);
    sha_end(&s, digest);
    for (size_t i = 0; i < DIGEST; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
}

/* ---- the signature ---- */

/* The value of name= in a list with commas. */
static bool part(const char *header, const char *name, const char **value, size_t *n)
{
    size_t name_n = strlen(name);

    while (*header != '\0') {
        size_t all = strcspn(header, ",");

        while (*header == ' ') {
            header++;
            all--;
        }
        if (all > name_n && strncmp(header, name, name_n) == 0 && header[name_n] == '=') {
            *value = header + name_n + 1;
            *n = all - name_n - 1;
            return true;
        }
        header += all;
        header += *header == ',';
    }
    return false;
}

/* Takes as long for a wrong text as for the right one. */
static bool same_hex(const char want[HEX], const char *got, size_t n)
{
    unsigned char difference = 0;

    if (n != HEX)
        return false;
    for (size_t i = 0; i < HEX; i++)
        difference |= (unsigned char)(want[i] ^ got[i]);
    return difference == 0;
}

bool ironflow_push_verify(const char *key, const char *header, const char *body, size_t n)
{
    const char *t, *v1, *plain;
    size_t t_n, v1_n, plain_n;
    char want[HEX], seconds[24];
    int64_t age;

    if (header == NULL)
        return false;
    if (part(header, "t", &t, &t_n) && part(header, "v1", &v1, &v1_n)) {
        if (t_n == 0 || t_n > 18 || strspn(t, "0123456789") != t_n)
            return false;
        memcpy(seconds, t, t_n);
        seconds[t_n] = '.';
        hmac_hex(key, seconds, t_n + 1, body, n, want);
        age = now_unix_ms() / 1000 - strtoll(t, NULL, 10);
        return same_hex(want, v1, v1_n) && age <= TOLERANCE_S && age >= -TOLERANCE_S;
    }
    if (!part(header, "sha256", &plain, &plain_n))
        return false;
    hmac_hex(key, "", 0, body, n, want);
    return same_hex(want, plain, plain_n);
}

/* ---- the request ---- */

static char *refuse(int status, const char *message, const char *code, int *out)
{
    struct text t = { 0 };

    *out = status;
    text_addz(&t, "{\"error\":{\"message\":");
    text_quote(&t, message, strlen(message));
    text_addz(&t, ",\"code\":");
    text_quote(&t, code, strlen(code));
    text_addz(&t, "}}");
    return text_z(&t);
}

static void put_member(struct text *t, const char *name, json_t value)
{
    if (value.p == NULL)
        return;
    text_char(t, ',');
    text_quote(t, name, strlen(name));
    text_char(t, ':');
    text_add(t, value.p, value.n);
}

/* The error of a failed invoke is an object written as a string. */
static void put_error(struct text *t, struct pool *p, json_t error)
{
    char *inside;

    if (error.p == NULL)
        return;
    inside = json_pool_string(p, error);
    if (inside[0] == '{' && ironflow_json_valid(inside, strlen(inside)))
        error = (json_t){ inside, strlen(inside) };
    put_member(t, "error", error);
}

/* The request in the shape of an assignment. */
static char *assignment(struct pool *p, json_t request)
{
    struct text t = { 0 };
    bool first = true;

    text_addz(&t, "{\"job_id\":\"push\"");
    put_member(&t, "run_id", json_member(request, "run_id"));
    put_member(&t, "attempt", json_member(request, "attempt"));
    put_member(&t, "event", json_member(request, "event"));
    text_addz(&t, ",\"completed_steps\":[");
    for (struct json_walk w = json_walk(json_member(request, "steps")); json_step(&w);) {
        text_addz(&t, first ? "{\"name\":\"\"" : ",{\"name\":\"\"");
        first = false;
        put_member(&t, "step_id", json_member(w.value, "id"));
        put_member(&t, "status", json_member(w.value, "status"));
        put_member(&t, "output", json_member(w.value, "output"));
        put_error(&t, p, json_member(w.value, "error"));
        text_char(&t, '}');
    }
    text_addz(&t, "]}");
    return text_z(&t);
}

static const struct ironflow_function *find(const struct ironflow_push *push, const char *id)
{
    for (size_t i = 0; i < push->functions_n; i++)
        if (strcmp(push->functions[i].id, id) == 0)
            return &push->functions[i];
    return NULL;
}

/* Runs the handler; the answer, or NULL when the request names no run. */
static char *execute(const struct ironflow_function *f, char *json, const struct server *server)
{
    struct ironflow_worker worker = { .config = { .checkpoint_ms = IRONFLOW_CHECKPOINT_NONE },
                                      .server = *server };
    struct ironflow_run run = { .worker = &worker, .json = json, .push = true };
    struct text answer = { 0 };
    bool good;

    pthread_mutex_init(&run.lock, NULL);
    pthread_cond_init(&run.flushed, NULL);
    good = run_begin(&run, now_unix_ms());
    run.function = f;
    if (good)
        report_put_final(&answer, &run, f->handler(&run, f->arg));
    run_end(&run);
    conn_free(run.conn);
    text_done(&run.pending);
    pool_done(&run.pool);
    pthread_cond_destroy(&run.flushed);
    pthread_mutex_destroy(&run.lock);
    return good ? text_z(&answer) : NULL;
}

char *ironflow_push_handle(const struct ironflow_push *push, const char *signature,
                           const char *body, size_t n, int *status)
{
    const struct ironflow_function *f;
    struct pool pool = { 0 };
    struct server server;
    char *json, *answer;
    json_t request;
    bool good;

    if (push->signing_key != NULL && signature == NULL)
        return refuse(401, "Missing signature", "SIGNATURE_MISSING", status);
    if (push->signing_key != NULL && !ironflow_push_verify(push->signing_key, signature, body, n))
        return refuse(401, "Invalid signature", "SIGNATURE_INVALID", status);
    if (!ironflow_json_valid(body, n))
        return refuse(400, "Invalid JSON body", "INVALID_JSON", status);
    request = json_value(body, n);
    f = find(push, json_pool_string(&pool, json_member(request, "function_id")));
    json = f != NULL ? assignment(&pool, request) : NULL;
    pool_done(&pool);
    if (f == NULL)
        return refuse(404, "Function not found", "FUNCTION_NOT_FOUND", status);
    good = server_init(&server, &push->client);
    answer = good ? execute(f, json, &server) : NULL;
    server_done(&server);
    if (!good) {
        free(json);
        return refuse(500, "The server's URL is unusable", "INVALID_CONFIG", status);
    }
    if (answer == NULL)
        return refuse(400, "Invalid request body: run_id is required", "VALIDATION_ERROR", status);
    *status = 200;
    return answer;
}
