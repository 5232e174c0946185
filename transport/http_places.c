/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/http_places.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NETWORK_BYTES 8 /* of an IPv6 address: who has one has all that begin so */

struct http_places {
    pthread_mutex_t mutex;
    unsigned count, held;
    unsigned sending_max, address_max;
    unsigned sending;
    struct reader {
        uint8_t address[HTTP_PLACES_ADDRESS_BYTES];
        unsigned count;
    } readers[]; /* sending_max; without a count: free */
};

int http_places_new(unsigned count, struct http_places **out, struct err *err)
{
    unsigned sending_max = count - count / 4;
    struct http_places *p = calloc(1, sizeof *p + sending_max * sizeof p->readers[0]);
    if (p == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    p->count = count;
    p->sending_max = sending_max;
    p->address_max = sending_max < 4 ? 1 : sending_max / 4;
    pthread_mutex_init(&p->mutex, NULL);
    *out = p;
    return 0;
}

void http_places_free(struct http_places *p)
{
    if (p == NULL)
        return;
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

/* What counts as one address. */
static void read_address(const struct sockaddr *from, uint8_t out[HTTP_PLACES_ADDRESS_BYTES])
{
    memset(out, 0, HTTP_PLACES_ADDRESS_BYTES);
    if (from == NULL)
        return;
    if (from->sa_family == AF_INET) {
        struct in6_addr mapped = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
        memcpy(mapped.s6_addr + 12, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        memcpy(out, mapped.s6_addr, sizeof mapped.s6_addr);
    } else if (from->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        memcpy(out, six->s6_addr,
               IN6_IS_ADDR_V4MAPPED(six) ? HTTP_PLACES_ADDRESS_BYTES : NETWORK_BYTES);
    }
}

/* With the mutex held. The address's entry, or a free one; NULL if neither is left. */
static struct reader *find_reader(struct http_places *p, const uint8_t *address)
{
    struct reader *unused = NULL;
    for (unsigned i = 0; i < p->sending_max; i++) {
        struct reader *r = &p->readers[i];
        if (r->count == 0)
            unused = unused == NULL ? r : unused;
        else if (memcmp(r->address, address, sizeof r->address) == 0)
            return r;
    }
    return unused;
}

bool http_places_take(struct http_places *p, struct http_place *place)
{
    pthread_mutex_lock(&p->mutex);
    place->held = p->held < p->count;
    if (place->held)
        p->held++;
    pthread_mutex_unlock(&p->mutex);
    return place->held;
}

/* With the mutex held. */
static int keep(struct http_places *p, struct http_place *place, const uint8_t *address)
{
    struct reader *r = find_reader(p, address);
    if (r != NULL && r->count >= p->address_max)
        return 429;
    if (r == NULL || p->sending >= p->sending_max || (!place->held && p->held >= p->count))
        return 503;
    if (!place->held)
        p->held++;
    p->sending++;
    memcpy(r->address, address, sizeof r->address);
    r->count++;
    place->held = place->sending = true;
    memcpy(place->address, address, sizeof place->address);
    return 0;
}

int http_places_keep(struct http_places *p, struct http_place *place, const struct sockaddr *to)
{
    uint8_t address[HTTP_PLACES_ADDRESS_BYTES];
    read_address(to, address);
    pthread_mutex_lock(&p->mutex);
    int status = place->sending ? 0 : keep(p, place, address);
    pthread_mutex_unlock(&p->mutex);
    return status;
}

void http_places_leave(struct http_places *p, struct http_place *place)
{
    pthread_mutex_lock(&p->mutex);
    if (place->held)
        p->held--;
    if (place->sending) {
        p->sending--;
        find_reader(p, place->address)->count--;
    }
    pthread_mutex_unlock(&p->mutex);
    *place = (struct http_place){0};
}
