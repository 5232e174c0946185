/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fetch_health.h"

#include "base/random.h"

#define WINDOW_FIRST     2
#define BLOCK_BYTES      (1u << 20) /* what a block is reckoned at */
#define GROW_MS          1000 /* a block that took longer is no reason to ask for more at once */
#define SHRINK_MS        4000 /* the line is full: more at once are only more to lose */
#define SAMPLE_MS        20   /* the shortest span that a speed is taken from */
#define BACKOFF_CUT_MS   50   /* it brought bytes: the line was cut, and is asked at once */
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS   30000
#define SAME_BYTE_MAX    4

static double window_of(const struct fetch_health *h)
{
    return h->window == 0 ? WINDOW_FIRST : h->window;
}

bool fetch_health_has_room(const struct fetch_health *h)
{
    return h->running < (unsigned)window_of(h);
}

double fetch_health_expected_ms(const struct fetch_health *h)
{
    return h->bytes_per_ms == 0 ? 0 : (h->running + 1) * (double)BLOCK_BYTES / h->bytes_per_ms;
}

static void learn(struct fetch_health *h, double bytes_per_ms)
{
    h->bytes_per_ms =
        h->bytes_per_ms == 0 ? bytes_per_ms : h->bytes_per_ms * .7 + bytes_per_ms * .3;
}

void fetch_health_started(struct fetch_health *h, uint64_t now_ms)
{
    if (h->running++ == 0) {
        h->since_ms = now_ms;
        h->bytes = 0;
    }
}

void fetch_health_ended(struct fetch_health *h, uint64_t now_ms, uint64_t bytes)
{
    uint64_t took_ms = now_ms - h->since_ms;
    h->running--;
    h->bytes += bytes;
    if (h->bytes == 0 || (took_ms < SAMPLE_MS && h->running > 0))
        return;
    learn(h, (double)h->bytes / (double)(took_ms > 0 ? took_ms : 1));
    h->since_ms = now_ms;
    h->bytes = 0;
}

void fetch_health_delivered(struct fetch_health *h, uint64_t took_ms)
{
    double window = window_of(h);
    h->failures = 0;
    h->broke = 0;
    if (took_ms < GROW_MS)
        window += 1 / window;
    else if (took_ms > SHRINK_MS)
        window -= 1 / window;
    h->window = window < 1 ? 1 : window > FETCH_WINDOW_MAX ? FETCH_WINDOW_MAX : window;
}

void fetch_health_overtaken(struct fetch_health *h, uint64_t bytes, uint64_t took_ms)
{
    double now = ((double)bytes + 1) / (double)(took_ms > 0 ? took_ms : 1);
    if (h->bytes_per_ms == 0 || now < h->bytes_per_ms)
        h->bytes_per_ms = now;
    h->window = window_of(h) / 2 < 1 ? 1 : window_of(h) / 2;
}

void fetch_health_busy(struct fetch_health *h)
{
    if (h->running < window_of(h))
        h->window = h->running < 1 ? 1 : h->running;
}

/* The back-off doubles, from when the last one was over. */
void fetch_health_broke(struct fetch_health *h, uint64_t now_ms, bool brought_bytes)
{
    uint64_t delay = BACKOFF_MAX_MS;
    uint32_t chance;
    if (brought_bytes)
        h->failures = 0;
    if (h->not_before_ms > now_ms)
        return;
    h->window = window_of(h) / 2 < 1 ? 1 : window_of(h) / 2;
    if (brought_bytes)
        delay = BACKOFF_CUT_MS;
    else if (h->failures < 7)
        delay = (uint64_t)BACKOFF_FIRST_MS << h->failures;
    if (!brought_bytes && h->failures < 100)
        h->failures++;
    random_bytes(&chance, sizeof chance);
    h->not_before_ms = now_ms + delay - chance % (delay / 4); /* sites cut together part */
}

bool fetch_health_ends_early(struct fetch_health *h, size_t at)
{
    h->broke = h->broke > 0 && h->broke_at == at ? h->broke + 1 : 1;
    h->broke_at = at;
    return h->broke >= SAME_BYTE_MAX;
}
