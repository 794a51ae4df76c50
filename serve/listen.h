/* A TCP socket to listen on. */
#ifndef LINNET_SERVE_LISTEN_H
#define LINNET_SERVE_LISTEN_H

#include "base/error.h"

#include <stdbool.h>

/* Binds the first address of `host` (a name, an IPv4 or an IPv6 address) that can be had; *port may be 0 and is then
 * the one that was free. Not listening yet: connections are refused. */
int listen_bind(const char *host, int *port, int *fd, struct error *e);
/* Whether only this machine can connect: localhost, 127.x.x.x, ::1. */
bool listen_is_local(const char *host);

#endif
