#include "serve/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int bound_socket(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol), on = 1;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* what is left of an earlier server is no hindrance */
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                : ((struct sockaddr_in *)&address)->sin_port);
}

int listen_bind(const char *host, int *port, int *fd, struct error *e)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list;
    char service[16];
    snprintf(service, sizeof service, "%d", *port);
    int why = getaddrinfo(host, service, &hints, &list);
    *fd = -1;
    if (why)
        return error_set(e, ERR_USAGE, "--host %s: %s", host, gai_strerror(why));
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next)
        *fd = bound_socket(a);
    why = errno;
    freeaddrinfo(list);
    if (*fd < 0) {
        errno = why;
        return error_set_errno(e, "cannot listen on %s, port %d%s", host, *port,
                               why == EADDRINUSE ? " (--port 0 takes one that is free)" : "");
    }
    *port = port_of(*fd);
    return OK;
}

bool listen_is_local(const char *host)
{
    return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}
