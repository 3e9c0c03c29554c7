/* xoshiro256** for everything but secrets; those come from the kernel. */
#include "base/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/must.h"

static uint64_t rotate(uint64_t v, unsigned by)
{
    return (v << by) | (v >> (64 - by));
}

void rng_init(struct rng *r)
{
    uint64_t seed;

    rng_secret(&seed, sizeof(seed));
    rng_seed(r, seed);
}

void rng_seed(struct rng *r, uint64_t seed)
{
    /* splitmix64: four words that are never all zero. */
    for (size_t i = 0; i < COUNT_OF(r->s); i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t out = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return out;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    uint64_t low;
    uint64_t v;

    must(n > 0);
    /* 2^64 mod n values at the bottom would make some results more likely than others. */
    low = (0 - n) % n;
    do {
        v = rng_u64(r);
    } while (v < low);
    return v % n;
}

void rng_secret(void *p, size_t n)
{
    char *at = p;

    while (n != 0) {
        ssize_t got = getrandom(at, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            fprintf(stderr, "ironflow: the kernel gives no random bytes\n");
            abort();
        }
        at += got;
        n -= (size_t)got;
    }
}
