/* Zones are kept for ever in a table, so that a parsed cron text is a plain value. There are about
 * 600 names in the world. */
#include "base/zone.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/dynlib.h"
#include "base/mem.h"
#include "base/must.h"

#define ZONES_MAX 1024
#define NAME_MAX_N 64
#define TIME_UNIVERSAL 2 /* G_TIME_TYPE_UNIVERSAL */

struct zone {
    char name[NAME_MAX_N + 1];
    void *tz; /* GTimeZone */
};

/* Of GLib: gint is int, gint32 is int32_t, gint64 is int64_t. */
static struct {
    void *(*find)(const char *identifier);
    int (*interval)(void *tz, int type, int64_t time);
    int32_t (*offset)(void *tz, int interval);
} lib;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct zone *zones[ZONES_MAX];
static size_t zones_n;

static bool lib_loaded(void)
{
    const struct dynlib_symbol symbols[] = {
        { "g_time_zone_new_identifier", &lib.find },
        { "g_time_zone_find_interval", &lib.interval },
        { "g_time_zone_get_offset", &lib.offset },
    };
    char why[200];

    return lib.offset != NULL ||
           dynlib_load("libglib-2.0.so.0", symbols, COUNT_OF(symbols), why, sizeof(why));
}

/* "Area/City", "UTC", "EST5EDT": a file of tzdata, and nothing else that GLib would take for a
 * zone. */
static bool name_path(str_t name, char *path, size_t size)
{
    if (name.n == 0 || name.n > NAME_MAX_N || name.p[0] < 'A' || name.p[0] > 'Z')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char ch = name.p[i];
        bool letter = (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z');

        if (!letter && !(ch >= '0' && ch <= '9') && str_index(S("_+-/"), ch) < 0)
            return false;
    }
    (void)snprintf(path, size, "/usr/share/zoneinfo/" STR_FMT, STR_ARG(name));
    return access(path, R_OK) == 0;
}

static struct zone *zone_known(str_t name)
{
    for (size_t i = 0; i < zones_n; i++)
        if (str_eq(name, str_from(zones[i]->name)))
            return zones[i];
    return NULL;
}

static struct zone *zone_load(str_t name)
{
    char path[NAME_MAX_N + 32];
    struct zone *z;
    void *tz;

    if (zones_n == ZONES_MAX || !name_path(name, path, sizeof(path)) || !lib_loaded())
        return NULL;
    z = mem_zero(sizeof(*z));
    memcpy(z->name, name.p, name.n);
    tz = lib.find(z->name);
    if (tz == NULL) {
        mem_free(z);
        return NULL;
    }
    z->tz = tz;
    zones[zones_n++] = z;
    return z;
}

const struct zone *zone_find(str_t name)
{
    struct zone *z;

    (void)pthread_mutex_lock(&lock);
    z = zone_known(name);
    if (z == NULL)
        z = zone_load(name);
    (void)pthread_mutex_unlock(&lock);
    return z;
}

static int interval_at(const struct zone *z, int64_t at)
{
    return lib.interval(z->tz, TIME_UNIVERSAL, at);
}

int64_t zone_offset(const struct zone *z, int64_t at)
{
    return lib.offset(z->tz, interval_at(z, at));
}

int64_t zone_change(const struct zone *z, int64_t from, int64_t to)
{
    int begin = interval_at(z, from);

    if (to <= from || interval_at(z, to) == begin)
        return INT64_MAX;
    while (to - from > 1) { /* intervals are numbered in their order */
        int64_t middle = from + (to - from) / 2;

        if (interval_at(z, middle) == begin)
            from = middle;
        else
            to = middle;
    }
    return to;
}
