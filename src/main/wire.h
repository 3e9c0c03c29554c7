/* Puts the program together: database, transactions, services, jobs, HTTP. */
#pragma once

#include "main/options.h"

struct server;

/* Boots in the order of the specification; *out serves requests when it returns. The error text is
 * for people. On failure everything that was started is taken down again. */
NODISCARD err_t server_start(struct ctx *c, const struct options *o, struct server **out);
int server_port(const struct server *s);
/* The admin key of a first boot, empty otherwise; and whether its file was written. */
str_t server_first_key(const struct server *s);
bool server_key_stored(const struct server *s);
/* From now on not ready: no new connections, polls end. */
void server_drain(struct server *s);
/* Requests that have no reply yet. */
size_t server_busy(const struct server *s);
/* Finishes what runs, closes the database, frees. */
void server_stop(struct server *s);
