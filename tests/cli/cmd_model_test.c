/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/tool.h"

#include "aggregate/moments.h"
#include "cli/model_file.h"
#include "model/csv.h"
#include "model/safetensors.h"

static const char plan[] = "seed = 7\n"
                           "[study]\nname = \"test\"\n"
                           "[model]\narchitecture = \"%s\"\nfeatures = 3\nclasses = 2\n"
                           "[data]\ntarget = \"label\"\n"
                           "[rounds]\nschedule = [%s\"fedavg 3\"]\nminimum = 1\nquorum = 1\n"
                           "fraction = 1.0\ndeadline_seconds = 60\n"
                           "[training]\ntrainer = \"%s\"\nepochs = 5\nbatch = 8\n"
                           "learning_rate = 0.1\nweight_decay = 0.001\n"
                           "[retention]\nupdates = 0\nmodels = 0\n";

static void write_plan(const char *architecture, const char *moments, const char *trainer)
{
    struct buf text = buf_new(4096);
    buf_append_format(&text, plan, architecture, moments, trainer);
    write_file(in_scratch("plan.toml"), buf_bytes(&text));
    buf_fini(&text);
}

/* Rows that a plane separates, far from scale 1. */
static void write_table(const char *name, uint32_t seed, size_t rows)
{
    struct buf text = buf_new(1u << 20);
    buf_append_text(&text, "a,b,c,label\n");
    for (size_t i = 0; i < rows; i++) {
        double v[3];
        for (size_t k = 0; k < 3; k++) {
            seed = seed * 1664525u + 1013904223u;
            v[k] = (double)(seed >> 8) / (1 << 24);
        }
        buf_append_format(&text, "%.4f,%.4f,%.4f,%d\n", 100 * v[0], v[1], 5 + v[2],
                          v[0] + v[1] > v[2] + 0.5);
    }
    write_file(in_scratch(name), buf_bytes(&text));
    buf_fini(&text);
}

static double number_of(json_t *object, const char *key)
{
    assert_true(json_is_number(json_object_get(object, key)));
    return json_number_value(json_object_get(object, key));
}

static bool same_files(const char *a, const char *b)
{
    struct buf x = read_file(in_scratch(a)), y = read_file(in_scratch(b));
    bool same = bytes_equal(buf_bytes(&x), buf_bytes(&y));
    buf_fini(&x);
    buf_fini(&y);
    return same;
}

/* --- new, show --- */

static void test_a_plans_initial_model_is_canonical_and_shown(void **state)
{
    (void)state;
    write_plan("logistic", "", "native");
    tool_run(cmd_model, "model", "new", "--plan", in_scratch("plan.toml"), "-o", in_scratch("m"),
             NULL);
    tool_expect(0, "", "");
    tool_run(cmd_model, "model", "show", in_scratch("m"), "--json", NULL);
    json_t *shown = tool_json();
    assert_true(json_is_true(json_object_get(shown, "canonical")));
    assert_int_equal(number_of(shown, "parameters"), 10);
    assert_int_equal((int)number_of(shown, "data_start") % SAFETENSORS_ALIGNMENT, 0);
    json_t *tensors = json_object_get(shown, "tensors");
    assert_int_equal(json_array_size(tensors), 4);
    json_t *weight = json_array_get(tensors, 3);
    assert_string_equal(json_string_value(json_object_get(weight, "name")), "weight");
    assert_string_equal(json_string_value(json_object_get(weight, "dtype")), "F32");
    assert_int_equal(json_array_size(json_object_get(weight, "shape")), 2);
    const char *cid = json_string_value(json_object_get(shown, "cid"));
    tool_run(cmd_model, "model", "show", in_scratch("m"), NULL);
    tool_expect(0, cid, "");
    tool_expect(0, "  F32   [1, 3]  weight\n", "");
    json_decref(shown);
}

static void test_a_model_that_only_its_trainer_knows_cannot_be_made_here(void **state)
{
    (void)state;
    write_plan("external", "", "null");
    tool_run(cmd_model, "model", "new", "--plan", in_scratch("plan.toml"), "-o", in_scratch("m"),
             NULL);
    tool_expect(2, "", "known to its trainer only");
    assert_false(files_exists(files_posix(), in_scratch("m")));
}

static void new_random(const char *bytes, const char *seed, const char *to)
{
    tool_run(cmd_model, "model", "new", "--random", bytes, "--seed", seed, "-o", in_scratch(to),
             NULL);
}

/* The arguments behind `-o SCRATCH/TO`; NULL ends them. */
#define NEW(to, ...) tool_run(cmd_model, "model", "new", "-o", in_scratch(to), __VA_ARGS__, NULL)

static void test_networks_are_made_by_description_and_shown(void **state)
{
    (void)state;
    NEW("mlp", "--architecture", "mlp", "--features", "6", "--classes", "3", "--hidden", "5,4",
        "--seed", "7");
    tool_expect(0, "", "");
    tool_run(cmd_model, "model", "show", in_scratch("mlp"), NULL);
    tool_expect(0, "network     mlp 6-5-4-3\n", "");
    tool_expect(0, "  F32   [5, 6]  layers.0.weight\n", "");
    tool_run(cmd_model, "model", "show", in_scratch("mlp"), "--json", NULL);
    json_t *shown = tool_json(), *network = json_object_get(shown, "network");
    assert_string_equal(json_string_value(json_object_get(network, "architecture")), "mlp");
    assert_int_equal(number_of(network, "features"), 6);
    assert_int_equal(number_of(network, "classes"), 3);
    json_t *hidden = json_object_get(network, "hidden");
    assert_int_equal(json_array_size(hidden), 2);
    assert_int_equal(json_integer_value(json_array_get(hidden, 1)), 4);
    json_decref(shown);

    NEW("again", "--architecture", "mlp", "--features", "6", "--classes", "3", "--hidden", "5,4",
        "--seed", "7");
    assert_true(same_files("mlp", "again"));
    NEW("other", "--architecture", "mlp", "--features", "6", "--classes", "3", "--hidden", "5,4",
        "--seed", "8");
    assert_false(same_files("mlp", "other"));

    /* A plan of that seed would make the same. */
    write_plan("mlp", "", "native");
    struct buf text = read_file(in_scratch("plan.toml"));
    const char *classes = strstr(buf_text(&text), "classes = 2\n");
    struct buf with = buf_new(4096);
    buf_append(&with, text.data, (size_t)(classes - (const char *)text.data));
    buf_append_format(&with, "hidden = [9]\n%s", classes);
    write_file(in_scratch("plan.toml"), buf_bytes(&with));
    buf_fini(&with);
    buf_fini(&text);
    NEW("planned", "--plan", in_scratch("plan.toml"));
    tool_expect(0, "", "");
    NEW("described", "--architecture", "mlp", "--features", "3", "--hidden", "9", "--seed", "7");
    assert_true(same_files("planned", "described"));

    NEW("softmax", "--architecture", "softmax", "--features", "6", "--classes", "3");
    tool_run(cmd_model, "model", "show", in_scratch("softmax"), NULL);
    tool_expect(0, "network     softmax 6-3\n", "");
    new_random("40", "1", "random");
    tool_run(cmd_model, "model", "show", in_scratch("random"), "--json", NULL);
    shown = tool_json();
    assert_true(json_is_null(json_object_get(shown, "network")));
    json_decref(shown);
}

static void test_networks_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *architecture, *features, *classes, *hidden, *words;
        int status;
    } rows[] = {
        {"resnet", "3", "2", "4", "\"resnet\" is known to its trainer only", 2},
        {"mlp", "3", "2", "", "--hidden", 2},
        {"mlp", "3", "2", "4,", "--hidden", 2},
        {"mlp", "3", "2", ",4", "--hidden", 2},
        {"mlp", "3", "2", "4;5", "--hidden", 2},
        {"mlp", "3", "2", "4,70000", "--hidden", 2},
        {"mlp", "3", "2", "44444444444444444444444444", "--hidden", 2},
        {"mlp", "3", "2", "1,1,1,1,1,1,1,1,1", "more than 8 layers", 2},
        {"mlp", "3", "2", "4,0", "hidden layer 2 has 0 units", 2},
        {"mlp", "0", "2", "4", "no features", 2},
        {"mlp", "3", "1", "4", "two classes", 2},
        {"softmax", "3", "3", "4", "no hidden layers", 2},
        {"logistic", "70000", "2", "4", "--features", 2},
        {"mlp", "65536", "2", "65536", "bytes of parameters", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        NEW("m", "--architecture", rows[i].architecture, "--features", rows[i].features,
            "--classes", rows[i].classes, "--hidden", rows[i].hidden);
        tool_expect(rows[i].status, "", rows[i].words);
        assert_false(files_exists(files_posix(), in_scratch("m")));
    }
    NEW("m", "--architecture", "logistic", "--random", "40");
    tool_expect(2, "", "one of --plan FILE, --architecture NAME and --random BYTES");
}

static void test_random_models_are_made_by_their_seed(void **state)
{
    (void)state;
    new_random("5000000", "1", "a");
    tool_expect(0, "", "");
    new_random("5000000", "1", "b");
    new_random("5000000", "2", "c");
    assert_true(same_files("a", "b"));
    assert_false(same_files("a", "c"));
    struct buf file = read_file(in_scratch("a"));
    struct safetensors s;
    struct err err = {0};
    assert_int_equal(safetensors_parse(buf_bytes(&file), file.size, NULL, &s, &err), 0);
    assert_true(s.canonical);
    assert_int_equal(s.layout->data_bytes, 5000000);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < 1250000; i++) {
        float value;
        memcpy(&value, file.data + s.data_start + 4 * i, 4);
        assert_true(value >= -1 && value < 1);
        sum += (double)value;
        squares += (double)value * (double)value;
    }
    assert_true(sum / 1250000 > -0.01 && sum / 1250000 < 0.01);        /* the mean of -1..1 ... */
    assert_true(squares / 1250000 > 0.32 && squares / 1250000 < 0.35); /* ... and its variance */
    safetensors_fini(&s);
    buf_fini(&file);
    static const char *const bad[] = {"2", "10", "2000000000000", "-4", "4x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        new_random(bad[i], "1", "d");
        tool_expect(2, "", "--random");
        assert_false(files_exists(files_posix(), in_scratch("d")));
    }
    new_random("0", "1", "d");
    tool_expect(2, "", "one of --plan FILE, --architecture NAME and --random BYTES");
}

/* --- train, evaluate --- */

static double evaluate(const char *model, const char *data)
{
    tool_run(cmd_model, "model", "evaluate", "--model", in_scratch(model), "--data",
             in_scratch(data), "--target", "label", "--json", NULL);
    tool_expect(0, "", "");
    json_t *found = tool_json();
    double accuracy = number_of(found, "accuracy");
    assert_true(number_of(found, "loss") > 0);
    assert_true(number_of(found, "examples") >= 1);
    json_decref(found);
    return accuracy;
}

static void test_training_learns_and_is_the_same_every_time(void **state)
{
    (void)state;
    write_plan("logistic", "\"moments 1\", ", "native");
    write_table("train.csv", 1, 300);
    write_table("test.csv", 2, 300);
    for (size_t i = 0; i < 2; i++) {
        tool_run(cmd_model, "model", "train", "--plan", in_scratch("plan.toml"), "--data",
                 in_scratch("train.csv"), "-o", in_scratch(i == 0 ? "a" : "b"), NULL);
        tool_expect(0, "trained 3 rounds: loss ", "");
    }
    assert_true(same_files("a", "b"));
    assert_true(evaluate("a", "test.csv") > 0.9);
    tool_run(cmd_model, "model", "evaluate", "--model", in_scratch("a"), "--data",
             in_scratch("test.csv"), "--target", "label", NULL);
    tool_expect(0, " on 300 examples\n", "");
}

/* input.mean and input.deviation as a study would compute them from two sites. */
static void test_the_scaling_is_that_of_the_rule_moments(void **state)
{
    (void)state;
    struct moments total, one;
    struct model_file m;
    struct err err = {0};
    float mean[3], deviation[3];
    write_plan("logistic", "\"moments 1\", ", "native");
    write_table("one.csv", 1, 50);
    write_table("two.csv", 2, 70);
    assert_int_equal(moments_new(3, &total, &err), 0);
    for (size_t i = 0; i < 2; i++) {
        struct dataset d;
        assert_int_equal(csv_load(in_scratch(i == 0 ? "one.csv" : "two.csv"), "label", 2, &d, &err),
                         0);
        assert_int_equal(moments_new(3, &one, &err), 0);
        one.count = d.rows;
        dataset_moments(&d, one.sum, one.squares);
        moments_add(&total, &one);
        moments_fini(&one);
        dataset_fini(&d);
    }
    assert_true(moments_finish(&total, mean, deviation));
    tool_run(cmd_model, "model", "train", "--plan", in_scratch("plan.toml"), "--data",
             in_scratch("one.csv"), "--data", in_scratch("two.csv"), "-o", in_scratch("m"),
             "--json", NULL);
    json_t *said = tool_json();
    assert_int_equal(number_of(said, "examples"), 120);
    assert_int_equal(number_of(said, "rounds"), 3);
    json_decref(said);
    assert_int_equal(model_file_load(in_scratch("m"), &m, &err), 0);
    assert_memory_equal(m.data + layout_find(m.layout, "input.mean")->offset, mean, sizeof mean);
    assert_memory_equal(m.data + layout_find(m.layout, "input.deviation")->offset, deviation,
                        sizeof deviation);
    model_file_fini(&m);
    moments_fini(&total);
}

static bool is_scaled(const char *name)
{
    struct model_file m;
    assert_int_equal(model_file_load(in_scratch(name), &m, NULL), 0);
    float mean;
    memcpy(&mean, m.data + layout_find(m.layout, "input.mean")->offset, sizeof mean);
    model_file_fini(&m);
    return mean != 0;
}

static void test_scaling_is_set_for_a_new_model_if_the_plan_does_and_when_told(void **state)
{
    (void)state;
    static const struct {
        const char *moments;
        bool model, scale, scaled;
    } rows[] = {{"\"moments 1\", ", false, false, true},
                {"", false, false, false},
                {"", false, true, true},
                {"\"moments 1\", ", true, false, false}, /* the given model's stays */
                {"\"moments 1\", ", true, true, true}};
    write_table("t.csv", 1, 50);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_plan("logistic", rows[i].moments, "native");
        tool_run(cmd_model, "model", "new", "--plan", in_scratch("plan.toml"), "-o",
                 in_scratch("in"), NULL);
        const char *scale = rows[i].scale ? "--scale" : "--json";
        if (rows[i].model)
            tool_run(cmd_model, "model", "train", "--plan", in_scratch("plan.toml"), "--rounds",
                     "1", "--data", in_scratch("t.csv"), "-o", in_scratch("m"), scale, "--model",
                     in_scratch("in"), NULL);
        else
            tool_run(cmd_model, "model", "train", "--plan", in_scratch("plan.toml"), "--rounds",
                     "1", "--data", in_scratch("t.csv"), "-o", in_scratch("m"), scale, NULL);
        tool_expect(0, "", "");
        assert_int_equal(is_scaled("m"), rows[i].scaled);
    }
}

static void test_training_goes_on_from_a_given_model(void **state)
{
    (void)state;
    write_plan("logistic", "\"moments 1\", ", "native");
    write_table("t.csv", 1, 100);
    tool_run(cmd_model, "model", "train", "--plan", in_scratch("plan.toml"), "--data",
             in_scratch("t.csv"), "-o", in_scratch("a"), "--rounds", "1", "--json", NULL);
    json_t *first = tool_json();
    tool_run(cmd_model, "model", "train", "--plan", in_scratch("plan.toml"), "--data",
             in_scratch("t.csv"), "-o", in_scratch("b"), "--rounds", "1", "--model",
             in_scratch("a"), "--json", NULL);
    json_t *second = tool_json();
    assert_true(number_of(second, "loss") < number_of(first, "loss"));
    json_decref(first);
    json_decref(second);
}

/* Trains SCRATCH/in on SCRATCH/t.csv with these options. */
#define TRAIN(to, ...)                                                                             \
    tool_run(cmd_model, "model", "train", "--model", in_scratch("in"), "--data",                   \
             in_scratch("t.csv"), "--target", "label", "-o", in_scratch(to), __VA_ARGS__, NULL)

static void test_options_take_the_place_of_a_plan(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"--epochs", "2"},     {"--steps", "5"},         {"--batch", "7"}, {"--momentum", "0.5"},
        {"--proximal", "0.5"}, {"--learning-rate", "1"}, {"--seed", "3"},  {"--rounds", "2"},
        {"--batch", "0"},      {"--weight-decay", "2"},
    };
    char name[16];
    write_table("t.csv", 1, 100);
    NEW("in", "--architecture", "mlp", "--features", "3", "--hidden", "8");
    TRAIN("plain", "--scale");
    tool_expect(0, "trained 1 rounds: loss ", "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(name, sizeof name, "m%zu", i);
        TRAIN(name, "--scale", rows[i][0], rows[i][1]);
        tool_expect(0, "", "");
        assert_false(same_files(name, "plain"));
    }
    /* What a plan file says if it says nothing, and what is an epoch's steps. */
    TRAIN("same", "--scale", "--epochs", "1", "--batch", "32", "--learning-rate", "0.1",
          "--momentum", "0", "--weight-decay", "0", "--proximal", "0", "--seed", "1");
    assert_true(same_files("same", "plain"));
    TRAIN("same", "--scale", "--steps", "4");
    assert_true(same_files("same", "plain"));
    /* They go before the plan's. */
    write_plan("logistic", "", "native");
    NEW("in", "--plan", in_scratch("plan.toml"));
    TRAIN("planned", "--plan", in_scratch("plan.toml"), "--rounds", "1");
    TRAIN("steps", "--plan", in_scratch("plan.toml"), "--rounds", "1", "--steps", "65");
    TRAIN("fewer", "--plan", in_scratch("plan.toml"), "--rounds", "1", "--steps", "64");
    assert_true(same_files("planned", "steps")); /* 5 epochs of 13 batches */
    assert_false(same_files("planned", "fewer"));
}

static void test_options_out_of_range_are_usage(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"--momentum", "1", "momentum"},
        {"--momentum", "x", "--momentum"},
        {"--momentum", "nan", "--momentum"},
        {"--learning-rate", "0", "learning rate"},
        {"--learning-rate", "-1", "learning rate"},
        {"--weight-decay", "-1", "weight_decay"},
        {"--proximal", "-0.5", "proximal"},
        {"--epochs", "0", "either epochs or steps"},
        {"--steps", "1e3", "--steps"},
        {"--batch", "-1", "--batch"},
    };
    write_table("t.csv", 1, 10);
    NEW("in", "--architecture", "logistic", "--features", "3");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        TRAIN("m", rows[i][0], rows[i][1]);
        tool_expect(2, "", rows[i][2]);
        assert_false(files_exists(files_posix(), in_scratch("m")));
    }
    TRAIN("m", "--epochs", "1", "--steps", "1");
    tool_expect(2, "", "either epochs or steps");
    tool_run(cmd_model, "model", "train", "--model", in_scratch("in"), "--data",
             in_scratch("t.csv"), "-o", in_scratch("m"), NULL);
    tool_expect(2, "", "target column");
}

/* Bright on the left: 0, on the right: 1, nowhere: 2. */
static void test_images_are_trained_and_evaluated_without_a_target(void **state)
{
    (void)state;
    uint8_t images[16 + 60 * 4] = {0, 0, 8, 3, 0, 0, 0, 60, 0, 0, 0, 2, 0, 0, 0, 2};
    uint8_t labels[8 + 60] = {0, 0, 8, 1, 0, 0, 0, 60};
    for (size_t i = 0; i < 60; i++) {
        uint8_t *pixel = images + 16 + 4 * i, bright = (uint8_t)(200 + i % 50);
        labels[8 + i] = (uint8_t)(i % 3);
        pixel[0] = pixel[2] = i % 3 == 0 ? bright : (uint8_t)i;
        pixel[1] = pixel[3] = i % 3 == 1 ? bright : (uint8_t)i;
    }
    write_file(in_scratch("t-images-idx3-ubyte"), bytes_of(images, sizeof images));
    write_file(in_scratch("t-labels-idx1-ubyte"), bytes_of(labels, sizeof labels));
    NEW("in", "--architecture", "softmax", "--features", "4", "--classes", "3");
    tool_run(cmd_model, "model", "train", "--model", in_scratch("in"), "--data",
             in_scratch("t-images-idx3-ubyte"), "-o", in_scratch("m"), "--epochs", "300", "--batch",
             "10", "--learning-rate", "0.5", NULL);
    tool_expect(0, "accuracy 1.0000 on its own 60 examples", "");
    tool_run(cmd_model, "model", "evaluate", "--model", in_scratch("m"), "--data",
             in_scratch("t-images-idx3-ubyte"), "--json", NULL);
    json_t *found = tool_json();
    assert_int_equal(number_of(found, "correct"), 60);
    assert_int_equal(number_of(found, "examples"), 60);
    json_decref(found);
    NEW("small", "--architecture", "softmax", "--features", "4", "--classes", "2");
    tool_run(cmd_model, "model", "evaluate", "--model", in_scratch("small"), "--data",
             in_scratch("t-images-idx3-ubyte"), NULL);
    tool_expect(1, "", "not a class number below 2");
}

static void test_what_does_not_fit_is_named_and_nothing_is_written(void **state)
{
    (void)state;
    write_plan("logistic", "", "native");
    write_table("t.csv", 1, 10);
    write_file(in_scratch("wide.csv"), bytes_of_text("a,b,c,d,label\n1,2,3,4,0\n"));
    write_file(in_scratch("bad.csv"), bytes_of_text("a,b,c,label\n1,2,x,0\n"));
    write_file(in_scratch("empty.csv"), bytes_of_text("a,b,c,label\n"));
    new_random("40", "1", "random");
    static const char *const rows[][3] = {
        {"wide.csv", NULL, "4 features, the plan says 3"},
        {"bad.csv", NULL, "bad.csv"},
        {"empty.csv", NULL, "empty.csv"},
        {"absent.csv", NULL, "absent.csv"},
        {"t.csv", "random", "random"},
        {"t.csv", "t.csv", "t.csv"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char model[256];
        snprintf(model, sizeof model, "%s", in_scratch(rows[i][1] == NULL ? "" : rows[i][1]));
        tool_run(cmd_model, "model", "train", "--plan", in_scratch("plan.toml"), "--data",
                 in_scratch(rows[i][0]), "-o", in_scratch("m"),
                 rows[i][1] == NULL ? "--scale" : "--model", rows[i][1] == NULL ? NULL : model,
                 NULL);
        tool_expect(1, "", rows[i][2]);
        assert_false(files_exists(files_posix(), in_scratch("m")));
    }
    tool_run(cmd_model, "model", "train", "--plan", in_scratch("plan.toml"), "--data",
             in_scratch("t.csv"), "--data", in_scratch("wide.csv"), "-o", in_scratch("m"), NULL);
    tool_expect(1, "", "wide.csv: 4 features where the first file has 3");
    tool_run(cmd_model, "model", "evaluate", "--model", in_scratch("random"), "--data",
             in_scratch("t.csv"), "--target", "label", NULL);
    tool_expect(1, "", "random");
}

static void test_calls_that_say_too_little_are_usage(void **state)
{
    (void)state;
    tool_run(cmd_model, "model", NULL);
    tool_expect(2, "", "usage: colmeia model");
    tool_run(cmd_model, "model", "--help", NULL);
    tool_expect(0, "  evaluate", "");
    tool_run(cmd_model, "model", "nonsense", NULL);
    tool_expect(2, "", "\"nonsense\"");
    tool_run(cmd_model, "model", "train", "-o", "x", NULL);
    tool_expect(2, "", "give --plan FILE or --model FILE, --data FILE and -o FILE");
    tool_run(cmd_model, "model", "evaluate", NULL);
    tool_expect(2, "", "give --model FILE and --data FILE");
    tool_run(cmd_model, "model", "show", NULL);
    tool_expect(2, "", "an argument is missing: colmeia model show [OPTION]... FILE");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_plans_initial_model_is_canonical_and_shown),
        TEST(test_a_model_that_only_its_trainer_knows_cannot_be_made_here),
        TEST(test_networks_are_made_by_description_and_shown),
        TEST(test_networks_that_make_no_sense_are_refused),
        TEST(test_random_models_are_made_by_their_seed),
        TEST(test_training_learns_and_is_the_same_every_time),
        TEST(test_the_scaling_is_that_of_the_rule_moments),
        TEST(test_scaling_is_set_for_a_new_model_if_the_plan_does_and_when_told),
        TEST(test_training_goes_on_from_a_given_model),
        TEST(test_options_take_the_place_of_a_plan),
        TEST(test_options_out_of_range_are_usage),
        TEST(test_images_are_trained_and_evaluated_without_a_target),
        TEST(test_what_does_not_fit_is_named_and_nothing_is_written),
        TEST(test_calls_that_say_too_little_are_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
