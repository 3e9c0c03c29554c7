/* SHA-256 through libcrypto's EVP. The algorithm is fetched once for the process; each thread keeps
 * one digest context, freed when the thread ends. */
#include "base/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>

#include "base/arena.h"
#include "base/must.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t context_key;
static EVP_MD *sha256;
static EVP_MAC *hmac;
static char hmac_digest[] = "SHA256";
static _Thread_local EVP_MD_CTX *context;

static void context_free(void *p)
{
    EVP_MD_CTX_free(p);
}

static void setup(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    must(sha256 != NULL);
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    must(hmac != NULL);
    must(pthread_key_create(&context_key, context_free) == 0);
}

void crypto_sha256(str_t s, uint8_t out[SHA256_SIZE])
{
    must(pthread_once(&once, setup) == 0);
    if (context == NULL) {
        context = EVP_MD_CTX_new();
        must(context != NULL);
        must(pthread_setspecific(context_key, context) == 0);
    }
    must(EVP_DigestInit_ex2(context, sha256, NULL) == 1);
    must(EVP_DigestUpdate(context, s.p, s.n) == 1);
    must(EVP_DigestFinal_ex(context, out, NULL) == 1);
}

void crypto_hmac_sha256(str_t key, const str_t *parts, size_t n, uint8_t out[SHA256_SIZE])
{
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hmac_digest, 0),
                            OSSL_PARAM_construct_end() };
    EVP_MAC_CTX *mac;
    size_t size = 0;

    must(pthread_once(&once, setup) == 0);
    mac = EVP_MAC_CTX_new(hmac);
    must(mac != NULL);
    /* without a byte of its own OpenSSL takes an empty key for none */
    must(EVP_MAC_init(mac, key.n > 0 ? (const unsigned char *)key.p : (const unsigned char *)"",
                      key.n, params) == 1);
    for (size_t i = 0; i < n; i++)
        must(EVP_MAC_update(mac, (const unsigned char *)parts[i].p, parts[i].n) == 1);
    must(EVP_MAC_final(mac, out, &size, SHA256_SIZE) == 1 && size == SHA256_SIZE);
    EVP_MAC_CTX_free(mac);
}

str_t crypto_hex(struct arena *a, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char *out = arena_alloc(a, 2 * n);

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    return (str_t){ out, 2 * n };
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    return n == 0 || CRYPTO_memcmp(a, b, n) == 0;
}
