/* SPDX-License-Identifier: Apache-2.0 */
/* FedSGD (McMahan et al. 2017): one step on all of a site's examples a round, the sites' deltas
 * averaged by their numbers of examples. It is gradient descent on the pooled data. */
#include "tests/model/network_twin.h"

#include "aggregate/fedavg.h"
#include "model/delta.h"

enum {
    ROUNDS = 25,
    SITES = 4,
    POOLED = 5 + 17 + 1 + 40
};

static const size_t site_rows[SITES] = {5, 17, 1, 40};
static const struct network_options step_of = {
    .epochs = 1, .learning_rate = 0.2, .weight_decay = 0.01};

/* The shard's elements of a data section, gathered. */
static void gather(const struct layout *l, size_t shard, const float *data, float *out)
{
    struct piece piece;
    for (uint64_t cursor = 0; layout_next_piece(l, shard, &cursor, &piece);)
        memcpy(out + piece.at, data + piece.offset / 4, piece.elements * sizeof *out);
}

static void scatter(const struct layout *l, size_t shard, const float *from, float *data)
{
    struct piece piece;
    for (uint64_t cursor = 0; layout_next_piece(l, shard, &cursor, &piece);)
        memcpy(data + piece.offset / 4, from + piece.at, piece.elements * sizeof *from);
}

/* One round from `data`, which becomes the next model. `fair`: a site weighs its examples, else 1.
 */
static void federated_round(const struct twin *t, float *data, bool fair)
{
    float *base = twin_copy(t), *trained[SITES];
    memcpy(base, data, (size_t)t->l->data_bytes);
    size_t first = 0;
    for (size_t k = 0; k < SITES; k++) {
        struct dataset own = {.rows = site_rows[k],
                              .features = t->d.features,
                              .x = t->d.x + first * t->d.features,
                              .y = t->d.y + first};
        first += site_rows[k];
        trained[k] = twin_copy(t);
        memcpy(trained[k], base, (size_t)t->l->data_bytes);
        MUST(network_train(&t->n, t->l, trained[k], &own, &step_of, seed_a, err));
    }
    for (size_t i = 0; i < t->l->shard_count; i++) {
        const struct shard *shard = &t->l->shards[i];
        size_t n = shard->elements;
        double *acc = calloc(n, sizeof *acc);
        float *before = malloc(4 * n), *after = malloc(4 * n), *delta = malloc(4 * n);
        assert_true(acc != NULL && before != NULL && after != NULL && delta != NULL);
        uint64_t total = 0;
        gather(t->l, i, base, before);
        for (size_t k = 0; k < SITES; k++) {
            uint32_t weight = fair ? (uint32_t)site_rows[k] : 1;
            gather(t->l, i, trained[k], after);
            MUST(delta_encode(shard, before, after, delta, err));
            fedavg_add(shard, acc, delta, weight);
            total += weight;
        }
        assert_true(fedavg_finish(shard, before, acc, total, NULL, after));
        scatter(t->l, i, after, data);
        free(acc);
        free(before);
        free(after);
        free(delta);
    }
    for (size_t k = 0; k < SITES; k++)
        free(trained[k]);
    free(base);
}

static double largest_difference(const struct twin *t, const float *a, const float *b)
{
    double largest = 0;
    for (size_t j = 0; j < t->floats; j++) {
        double difference = fabs((double)a[j] - (double)b[j]) / (1 + fabs((double)b[j]));
        largest = difference > largest ? difference : largest;
    }
    return largest;
}

static void test_fedsgd_is_gradient_descent_on_the_pooled_data(void **state)
{
    (void)state;
    static const struct network shapes[] = {{NETWORK_LOGISTIC, 6, 2, 0, {0}},
                                            {NETWORK_SOFTMAX, 6, 4, 0, {0}},
                                            {NETWORK_MLP, 6, 4, 2, {12, 8}}};
    for (size_t s = 0; s < COUNT(shapes); s++) {
        struct twin t = twin_new(&shapes[s], POOLED, true);
        float *federated = twin_copy(&t), *unweighted = twin_copy(&t), *central = twin_copy(&t);
        for (int round = 0; round < ROUNDS; round++) {
            federated_round(&t, federated, true);
            federated_round(&t, unweighted, false);
            MUST(network_train(&t.n, t.l, central, &t.d, &step_of, seed_b, err));
            double away = largest_difference(&t, federated, central);
            if (away > 2e-6)
                fail_msg("shape %zu, round %d: %g away", s, round + 1, away);
        }
        assert_true(largest_difference(&t, central, t.data) > 0.1); /* it went somewhere */
        assert_true(largest_difference(&t, unweighted, central) > 0.01);
        free(federated);
        free(unweighted);
        free(central);
        twin_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fedsgd_is_gradient_descent_on_the_pooled_data),
    };
    gemm_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
