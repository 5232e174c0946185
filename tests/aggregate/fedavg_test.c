/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "aggregate/fedavg.h"

static struct shard shard_of(enum use use, enum dtype dtype, uint32_t n)
{
    size_t stored = use == USE_LARGEST || dtype == DTYPE_F64 ? dtype_bytes(dtype) : sizeof(float);
    return (struct shard){.use = use, .dtype = dtype, .elements = n, .bytes = n * (uint32_t)stored};
}

static void test_a_mean_is_weighted_and_added_to_the_base(void **state)
{
    (void)state;
    const float a[2] = {1, -2}, b[2] = {4, 0.5f}, base[2] = {10, 20};
    float next[2];
    double acc[2] = {0};
    struct shard s = shard_of(USE_MEAN, DTYPE_F32, 2);
    fedavg_add(&s, acc, a, 3);
    fedavg_add(&s, acc, b, 1);
    assert_true(fedavg_finish(&s, base, acc, 4, NULL, next));
    assert_true(next[0] == 11.75f && next[1] == 18.625f);
}

static void test_f64_tensors_have_f64_deltas_and_half_floats_f32_ones(void **state)
{
    (void)state;
    const double wide[1] = {0x1p-50}, wide_base[1] = {1};
    double wide_next[1], acc[1] = {0};
    struct shard s = shard_of(USE_MEAN, DTYPE_F64, 1);
    fedavg_add(&s, acc, wide, 7);
    assert_true(fedavg_finish(&s, wide_base, acc, 7, NULL, wide_next));
    assert_true(wide_next[0] == 1 + 0x1p-50);

    static const struct {
        enum dtype dtype;
        uint16_t one, three;
    } halves[] = {{DTYPE_F16, 0x3c00, 0x4200}, {DTYPE_BF16, 0x3f80, 0x4040}};
    for (size_t i = 0; i < 2; i++) {
        const float two = 2;
        uint16_t next;
        acc[0] = 0;
        s = shard_of(USE_MEAN, halves[i].dtype, 1);
        fedavg_add(&s, acc, &two, 5);
        assert_true(fedavg_finish(&s, &halves[i].one, acc, 5, NULL, &next));
        assert_int_equal(next, halves[i].three);
    }
}

/* Values of each integer type in ascending order, as bytes. */
static void test_the_largest_integer_wins_in_every_type(void **state)
{
    (void)state;
    static const struct {
        enum dtype dtype;
        const char *ascending[5];
    } cases[] = {
        {DTYPE_I64,
         {"0000000000000080", "feffffffffffffff", "0000000000000000", "0100000000000000",
          "ffffffffffffff7f"}},
        {DTYPE_U64,
         {"0000000000000000", "0100000000000000", "ffffffffffffff7f", "0000000000000080",
          "ffffffffffffffff"}},
        {DTYPE_I32, {"00000080", "ffffffff", "00000000", "00010000", "ffffff7f"}},
        {DTYPE_U32, {"00000000", "ff000000", "00010000", "00000080", "ffffffff"}},
        {DTYPE_I16, {"0080", "ffff", "0000", "0100", "ff7f"}},
        {DTYPE_U16, {"0000", "0100", "0001", "0080", "ffff"}},
        {DTYPE_I8, {"80", "ff", "00", "01", "7f"}},
        {DTYPE_U8, {"00", "01", "7f", "80", "ff"}},
        {DTYPE_BOOL, {"00", "00", "00", "00", "01"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shard s = shard_of(USE_LARGEST, cases[i].dtype, 2);
        size_t size = dtype_bytes(cases[i].dtype);
        for (size_t a = 0; a < 5; a++)
            for (size_t b = 0; b < 5; b++) {
                uint8_t first[16], second[16], next[16] = {0}, expected[8];
                double acc[2] = {0};
                from_hex(cases[i].ascending[a], first, size);
                from_hex(cases[i].ascending[b], first + size, size);
                from_hex(cases[i].ascending[b], second, size);
                from_hex(cases[i].ascending[a], second + size, size);
                from_hex(cases[i].ascending[a > b ? a : b], expected, size);
                fedavg_add(&s, acc, first, 1); /* weights do not matter */
                fedavg_add(&s, acc, second, 1000);
                assert_true(fedavg_finish(&s, first, acc, 1001, NULL, next));
                assert_memory_equal(next, expected, size);
                assert_memory_equal(next + size, expected, size);
            }
    }
}

static void test_one_site_alone_keeps_its_smallest_integers(void **state)
{
    (void)state;
    const int32_t value[1] = {INT32_MIN}, base[1] = {5};
    int32_t next[1];
    double acc[1] = {0};
    struct shard s = shard_of(USE_LARGEST, DTYPE_I32, 1);
    fedavg_add(&s, acc, value, 1);
    assert_true(fedavg_finish(&s, base, acc, 1, NULL, next));
    assert_int_equal(next[0], INT32_MIN);
}

/* What lets a shard be cut at a window's edge. */
static void test_a_run_of_a_shard_gives_the_bits_of_the_whole(void **state)
{
    (void)state;
    enum {
        N = 3000,
        CUT = 1111
    };
    uint8_t *bytes = stream_bytes("run", N * 8);
    float delta[N], base[N], whole[N], parts[N];
    double acc[N] = {0}, acc_parts[N] = {0};
    for (size_t i = 0; i < N; i++) {
        delta[i] = (float)bytes_get_u32(bytes + 4 * i) * 1e-9f - 2;
        base[i] = (float)bytes_get_u32(bytes + 4 * (N + i)) * 1e-9f;
    }
    struct shard s = shard_of(USE_MEAN, DTYPE_F32, N);
    struct shard head = shard_of(USE_MEAN, DTYPE_F32, CUT);
    struct shard tail = shard_of(USE_MEAN, DTYPE_F32, N - CUT);
    fedavg_add(&s, acc, delta, 536870909);
    fedavg_add(&head, acc_parts, delta, 536870909);
    fedavg_add(&tail, acc_parts + CUT, delta + CUT, 536870909);
    assert_true(fedavg_finish(&s, base, acc, 1234567890, NULL, whole));
    assert_true(fedavg_finish(&head, base, acc_parts, 1234567890, NULL, parts));
    assert_true(fedavg_finish(&tail, base + CUT, acc_parts + CUT, 1234567890, NULL, parts + CUT));
    assert_memory_equal(whole, parts, sizeof whole);
    free(bytes);
}

static void test_an_optimiser_steps_for_means_and_not_for_largest_values(void **state)
{
    (void)state;
    const struct optimiser_setting momentum = {OPTIMISER_FEDAVGM, 0.5, 0.5, 0, 0};
    const struct optimiser_step step = optimiser_step(&momentum, 1);
    const float delta[2] = {4, -8}, base[2] = {1, 1};
    float next[2], m[2] = {2, 4};
    double acc[2] = {0};
    struct rule_state server = {.step = &step, .m = m};
    struct shard s = shard_of(USE_MEAN, DTYPE_F32, 2);
    fedavg_add(&s, acc, delta, 3);
    assert_true(fedavg_finish(&s, base, acc, 3, &server, next));
    assert_true(m[0] == 5 && m[1] == -6);
    assert_true(next[0] == 3.5f && next[1] == -2);

    const uint8_t values[4] = {7, 0, 0, 0}, none[4] = {0};
    uint8_t largest[4];
    acc[0] = 0;
    s = shard_of(USE_LARGEST, DTYPE_I32, 1);
    fedavg_add(&s, acc, values, 3);
    assert_true(fedavg_finish(&s, none, acc, 3, &server, largest));
    assert_memory_equal(largest, values, sizeof values);
    assert_true(m[0] == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mean_is_weighted_and_added_to_the_base),
        cmocka_unit_test(test_f64_tensors_have_f64_deltas_and_half_floats_f32_ones),
        cmocka_unit_test(test_the_largest_integer_wins_in_every_type),
        cmocka_unit_test(test_one_site_alone_keeps_its_smallest_integers),
        cmocka_unit_test(test_a_run_of_a_shard_gives_the_bits_of_the_whole),
        cmocka_unit_test(test_an_optimiser_steps_for_means_and_not_for_largest_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
