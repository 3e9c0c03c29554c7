/* The schema, embedded from src/store/migrations at build time. */
#pragma once

#include "db/migrate.h"

extern const struct migration store_migrations[];
extern const size_t store_migrations_n;
