/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/http_target.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define HOST_MAX 256

static bool is_local_v4(const uint8_t a[4])
{
    return a[0] == 127 || a[0] == 0 || (a[0] == 169 && a[1] == 254);
}

static bool is_local_v6(const struct in6_addr *a)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t zeros[12];
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    const uint8_t *b = a->s6_addr;
    if (memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0)
        return is_local_v4(b + 12);
    if (memcmp(b, zeros, 12) == 0) /* ::, ::1 and the old IPv4-compatible ones */
        return true;
    return b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
}

bool http_target_is_local(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return is_local_v4((const uint8_t *)&v4.sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return is_local_v6(&v6.sin6_addr);
    }
    return true; /* a socket in the file system */
}

static bool ends_in(const char *text, size_t size, const char *end)
{
    size_t n = strlen(end);
    return size >= n && strncasecmp(text + size - n, end, n) == 0;
}

bool http_target_is_local_host(const char *host)
{
    char plain[HOST_MAX];
    size_t size = strlen(host);
    struct in_addr v4;
    struct in6_addr v6;
    if (size > 1 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    }
    while (size > 0 && host[size - 1] == '.')
        size--;
    if (size == 0 || size >= sizeof plain)
        return true; /* no host that we would ask */
    memcpy(plain, host, size);
    plain[size] = '\0';
    char *zone = strchr(plain, '%');
    if (zone != NULL)
        *zone = '\0';
    if (inet_pton(AF_INET, plain, &v4) == 1 || inet_aton(plain, &v4) == 1)
        return is_local_v4((const uint8_t *)&v4);
    if (inet_pton(AF_INET6, plain, &v6) == 1)
        return is_local_v6(&v6);
    return strcasecmp(plain, "localhost") == 0 || ends_in(plain, size, ".localhost") ||
           ends_in(plain, size, ".localdomain");
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

const char *http_target_proxy(bool tls)
{
    const char *found = variable(tls ? "https_proxy" : "http_proxy");
    if (found == NULL && (tls || getenv("REQUEST_METHOD") == NULL))
        found = variable(tls ? "HTTPS_PROXY" : "HTTP_PROXY");
    if (found == NULL)
        found = variable("all_proxy");
    return found != NULL ? found : variable("ALL_PROXY");
}
