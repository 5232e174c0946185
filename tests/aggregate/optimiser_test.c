/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <math.h>

#include "aggregate/accumulate.h"
#include "aggregate/optimiser.h"

#define N_MAX 1300

static const enum optimiser kinds[] = {
    OPTIMISER_NONE,    OPTIMISER_FEDAVGM,           OPTIMISER_FEDADAGRAD,
    OPTIMISER_FEDADAM, OPTIMISER_FEDADAM_CORRECTED, OPTIMISER_FEDYOGI};
#define KINDS (sizeof kinds / sizeof kinds[0])

static const enum dtype dtypes[] = {DTYPE_F64, DTYPE_F32, DTYPE_F16, DTYPE_BF16};

/* --- scalar traces --- */

/* Five rounds from x = m = v = 0 in which the mean of the clients' models is 1, 1, .5, 2, 2. */
static const double means[5] = {1, 1, 0.5, 2, 2};

/* Computed apart from this program, in Python's floats from the formulas of the papers. */
static const struct trace {
    struct optimiser_setting setting;
    double x[5];
} traces[] = {
    {{OPTIMISER_FEDADAM, 0.1, 0.9, 0.99, 1e-3},
     {0.0990099010, 0.2321891674, 0.3698333071, 0.5261716674, 0.6992416850}},
    {{OPTIMISER_FEDADAGRAD, 0.1, 0, 0, 1e-3},
     {0.0999000999, 0.1667509878, 0.1907761012, 0.2701227978, 0.3305595472}},
    {{OPTIMISER_FEDAVGM, 1.0, 0.9, 0, 0}, {1.0, 1.9, 1.31, 1.469, 2.1431}},
    {{OPTIMISER_FEDYOGI, 0.1, 0.9, 0.99, 1e-3},
     {0.0990099010, 0.2318238365, 0.3684671964, 0.5240054225, 0.6958974282}},
    {{OPTIMISER_FEDADAM_CORRECTED, 0.1, 0.9, 0.99, 1e-3},
     {0.0999000999, 0.1994074638, 0.2885552068, 0.3792675394, 0.4731701407}},
};
#define TRACES (sizeof traces / sizeof traces[0])

static void assert_near(double found, double expected, double tolerance, const char *what,
                        size_t round)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s, round %zu: %.12f, expected %.12f", what, round + 1, found, expected);
}

static void test_the_oracle_follows_the_published_formulas_for_five_rounds(void **state)
{
    (void)state;
    for (size_t k = 0; k < TRACES; k++) {
        double x = 0, m = 0, v = 0;
        for (size_t i = 0; i < 5; i++) {
            struct optimiser_step s = optimiser_step(&traces[k].setting, i + 1);
            x = optimiser_apply_naive(&s, x, means[i] - x, &m, &v);
            assert_near(x, traces[k].x[i], 1e-9, optimiser_name(s.setting.kind), i);
        }
    }
}

static void test_a_model_of_f32_follows_them_to_its_rounding(void **state)
{
    (void)state;
    for (size_t k = 0; k < TRACES; k++) {
        float x = 0, m = 0, v = 0;
        bool both = optimiser_slots(traces[k].setting.kind) == 2;
        for (size_t i = 0; i < 5; i++) {
            struct optimiser_step s = optimiser_step(&traces[k].setting, i + 1);
            double acc = 7 * (means[i] - (double)x);
            struct optimiser_run r = {DTYPE_F32, 1, &x, &acc, 7, &m, both ? &v : NULL};
            assert_true(optimiser_apply(&s, &r, &x));
            assert_near((double)x, traces[k].x[i], 2e-7, optimiser_name(s.setting.kind), i);
        }
    }
}

/* --- the fast path --- */

struct random_inputs {
    struct random_stream stream;
    _Alignas(8) uint8_t base[N_MAX * 8];
    _Alignas(8) uint8_t next[N_MAX * 8];
    double acc[N_MAX];
    float m[N_MAX], v[N_MAX];
};

/* -8 to 8, in many steps. */
static double draw(struct random_stream *s)
{
    uint8_t bits[4];
    random_stream_fill(s, bits, sizeof bits);
    return (double)bytes_get_u32(bits) * 0x1p-28 - 8;
}

static void fill(struct random_inputs *in, enum dtype dtype, size_t n, bool zero_state)
{
    for (size_t i = 0; i < n; i++) {
        dtype_put(dtype, in->base + i * dtype_bytes(dtype), draw(&in->stream));
        in->acc[i] = 1000 * draw(&in->stream);
        in->m[i] = zero_state ? 0 : (float)draw(&in->stream);
        in->v[i] = zero_state ? 0 : (float)fabs(draw(&in->stream));
    }
    if (n > 3) {
        in->acc[1] = 0; /* an element that nobody changed */
        in->v[2] = (float)(in->acc[2] / 1000 * (in->acc[2] / 1000));
    }
}

/* Compares the fast path with the twin, rounded once; with `in_place`, next is base. */
static void compare(struct random_inputs *in, const struct optimiser_step *s, enum dtype dtype,
                    size_t n, bool in_place)
{
    size_t slots = optimiser_slots(s->setting.kind), size = dtype_bytes(dtype);
    static uint8_t base[N_MAX * 8];
    static float m[N_MAX], v[N_MAX];
    uint8_t *next = in_place ? in->base : in->next;
    memcpy(base, in->base, sizeof base);
    memcpy(m, in->m, sizeof m);
    memcpy(v, in->v, sizeof v);
    struct optimiser_run r = {
        dtype, n, in->base, in->acc, 1000, slots > 0 ? in->m : NULL, slots > 1 ? in->v : NULL};
    assert_true(optimiser_apply(s, &r, next));
    for (size_t i = 0; i < n; i++) {
        uint8_t expected[8];
        double m64 = (double)m[i], v64 = (double)v[i];
        dtype_put(dtype, expected,
                  optimiser_apply_naive(s, dtype_get(dtype, base + i * size), in->acc[i] / 1000,
                                        &m64, &v64));
        if (memcmp(next + i * size, expected, size) != 0 ||
            in->m[i] != (slots > 0 ? (float)m64 : m[i]) ||
            in->v[i] != (slots > 1 ? (float)v64 : v[i]))
            fail_msg("%s of %s: element %zu of %zu", optimiser_name(s->setting.kind),
                     dtype_name(dtype), i, n);
    }
}

static void test_the_fast_path_is_the_naive_twin_rounded_once(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 511, 512, 513, N_MAX};
    static struct random_inputs in;
    uint8_t seed[HASH_BYTES] = {4};
    random_stream_init(&in.stream, seed);
    for (size_t k = 0; k < KINDS; k++)
        for (size_t d = 0; d < 4; d++)
            for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
                for (unsigned way = 0; way < 4; way++) {
                    struct optimiser_setting setting = {kinds[k], 0.03, 0.9, 0.995, 1e-3};
                    struct optimiser_step s = optimiser_step(&setting, 1 + c);
                    fill(&in, dtypes[d], counts[c], (way & 1) != 0);
                    compare(&in, &s, dtypes[d], counts[c], (way & 2) != 0);
                }
}

static void test_without_an_optimiser_it_is_the_mean_added_to_the_base(void **state)
{
    (void)state;
    static struct random_inputs in;
    static float expected[N_MAX];
    uint8_t seed[HASH_BYTES] = {5};
    struct optimiser_setting setting = {.kind = OPTIMISER_NONE, .rate = 1};
    struct optimiser_step s = optimiser_step(&setting, 3);
    random_stream_init(&in.stream, seed);
    fill(&in, DTYPE_F32, N_MAX, true);
    const float *base = (const float *)(const void *)in.base;
    assert_true(accumulate_finish_f32(base, in.acc, N_MAX, 12345, expected));
    struct optimiser_run r = {DTYPE_F32, N_MAX, in.base, in.acc, 12345, NULL, NULL};
    assert_true(optimiser_apply(&s, &r, in.next));
    assert_memory_equal(in.next, expected, sizeof expected);
}

/* FedYogi leaves v where it is where v equals the square, and moves it by the square elsewhere. */
static void test_yogi_moves_v_by_the_sign_of_the_difference(void **state)
{
    (void)state;
    static const struct {
        float v, expected;
    } cases[] = {{4, 4}, {8, 7}, {1, 2}, {0, 1}};
    struct optimiser_setting setting = {OPTIMISER_FEDYOGI, 1, 0, 0.75, 1e-3};
    struct optimiser_step s = optimiser_step(&setting, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float x = 0, m = 0, v = cases[i].v;
        double acc = -2;
        struct optimiser_run r = {DTYPE_F32, 1, &x, &acc, 1, &m, &v};
        assert_true(optimiser_apply(&s, &r, &x));
        assert_true(v == cases[i].expected);
    }
}

static void test_beta_to_the_t_is_t_multiplications(void **state)
{
    (void)state;
    struct optimiser_setting setting = {OPTIMISER_FEDADAM_CORRECTED, 0.1, 0.9, 0.999, 1e-3};
    double power1 = 1, power2 = 1;
    for (uint64_t t = 1; t <= 20000; t++) {
        power1 *= setting.beta1;
        power2 *= setting.beta2;
        if (t > 50 && t % 997 != 0)
            continue;
        struct optimiser_step s = optimiser_step(&setting, t);
        assert_true(s.correct1 == 1 - power1 && s.correct2 == 1 - power2);
    }
    setting.kind = OPTIMISER_FEDADAM; /* as Reddi et al. have it */
    struct optimiser_step s = optimiser_step(&setting, 1);
    assert_true(s.correct1 == 1 && s.correct2 == 1);
}

/* --- what is not finite --- */

static void test_a_result_that_is_not_finite_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        enum optimiser kind;
        enum dtype dtype;
        double base, delta;
        float m, v;
        bool finite;
    } cases[] = {
        {"nothing", OPTIMISER_FEDADAM, DTYPE_F32, 1, 1, 0, 0, true},
        {"x past f16", OPTIMISER_FEDAVGM, DTYPE_F16, 65504, 1000, 0, 0, false},
        {"x within bf16", OPTIMISER_FEDAVGM, DTYPE_BF16, 65504, 1000, 0, 0, true},
        {"x past f32", OPTIMISER_FEDAVGM, DTYPE_F32, 0x1p127, 0x1p127, 0, 0, false},
        {"x within f64, m past f32", OPTIMISER_FEDAVGM, DTYPE_F64, 1, 1e39, 0, 0, false},
        {"x past f64", OPTIMISER_NONE, DTYPE_F64, 0x1p1023, 0x1p1023, 0, 0, false},
        {"v past f32, x is finite", OPTIMISER_FEDADAGRAD, DTYPE_F32, 1, 1e20, 0, 0, false},
        {"v past f64", OPTIMISER_FEDYOGI, DTYPE_F64, 1, 1e200, 0, 0, false},
        {"m of the state", OPTIMISER_FEDADAM, DTYPE_F32, 1, 1, NAN, 0, false},
        {"v of the state", OPTIMISER_FEDADAM, DTYPE_F32, 1, 1, 0, NAN, false},
        {"an infinite v hides m", OPTIMISER_FEDYOGI, DTYPE_F32, 1, 1, 0, INFINITY, false},
        {"a negative v", OPTIMISER_FEDADAM, DTYPE_F32, 1, 0, 0, -1, false},
    };
    static const size_t places[] = {0, 511, 512, 519};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
            static double acc[520];
            static float m[520], v[520];
            static _Alignas(8) uint8_t base[520 * 8];
            size_t slots = optimiser_slots(cases[i].kind), at = places[p];
            struct optimiser_setting setting = {cases[i].kind, 1, 0.9, 0.99, 1e-3};
            struct optimiser_step s = optimiser_step(&setting, 1);
            memset(acc, 0, sizeof acc);
            memset(m, 0, sizeof m);
            memset(v, 0, sizeof v);
            memset(base, 0, sizeof base);
            acc[at] = cases[i].delta;
            m[at] = cases[i].m;
            v[at] = cases[i].v;
            dtype_put(cases[i].dtype, base + at * dtype_bytes(cases[i].dtype), cases[i].base);
            struct optimiser_run r = {cases[i].dtype,      520, base, acc, 1, slots > 0 ? m : NULL,
                                      slots > 1 ? v : NULL};
            if (optimiser_apply(&s, &r, base) != cases[i].finite)
                fail_msg("%s, at %zu", cases[i].what, at);
        }
}

/* --- the table --- */

static void test_every_optimiser_has_its_name_and_its_state(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t slots;
    } expected[KINDS] = {{"none", 0},    {"fedavgm", 1},           {"fedadagrad", 2},
                         {"fedadam", 2}, {"fedadam-corrected", 2}, {"fedyogi", 2}};
    enum optimiser found;
    for (size_t i = 0; i < KINDS; i++) {
        assert_string_equal(optimiser_name(kinds[i]), expected[i].name);
        assert_true(strlen(expected[i].name) < OPTIMISER_NAME_MAX);
        assert_true(optimiser_parse(expected[i].name, &found) && found == kinds[i]);
        assert_int_equal(optimiser_slots(kinds[i]), expected[i].slots);
    }
    found = OPTIMISER_FEDYOGI;
    assert_false(optimiser_parse("adam", &found));
    assert_false(optimiser_parse("", &found));
    assert_false(optimiser_parse("fedadam-", &found));
    assert_int_equal(found, OPTIMISER_FEDYOGI);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oracle_follows_the_published_formulas_for_five_rounds),
        cmocka_unit_test(test_a_model_of_f32_follows_them_to_its_rounding),
        cmocka_unit_test(test_the_fast_path_is_the_naive_twin_rounded_once),
        cmocka_unit_test(test_without_an_optimiser_it_is_the_mean_added_to_the_base),
        cmocka_unit_test(test_yogi_moves_v_by_the_sign_of_the_difference),
        cmocka_unit_test(test_beta_to_the_t_is_t_multiplications),
        cmocka_unit_test(test_a_result_that_is_not_finite_is_told),
        cmocka_unit_test(test_every_optimiser_has_its_name_and_its_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
