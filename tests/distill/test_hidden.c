/* Hidden-state matching against PyTorch (tests/fixtures/make_hidden.py), and the streams' gradients through the decoder
 * against finite differences. */
#include "base/file.h"
#include "distill/hidden.h"
#include "formats/hdf5_file.h"
#include "kernels/gemm.h"
#include "optim/optimizer.h"
#include "tests/model/architectures.h"
#include "tests/model/rig.h"
#include "train/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct model_config shape_of(size_t n_layers, size_t width)
{
    return (struct model_config){.num_hidden_layers = n_layers, .hidden_size = width};
}

/* --- PyTorch --- */

#define FIXTURE "tests/fixtures/hidden.h5"
enum { B = 3, T = 160, N = B * T, STUDENT = 6, TEACHER = 10, PAIRS = 2 };

static void read_floats(struct hdf5_file *f, size_t n, float *out, const char *format, ...)
{
    char name[96];
    struct error e;
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    assert_ok(hdf5_read(f, name, HDF5_F32, n, out, &e), e);
}

/* As a share of the largest that is wanted. */
static void assert_near(const float *got, const float *want, size_t n, const char *what)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - want[i]));
        largest = fmax(largest, fabs((double)want[i]));
    }
    if (!(worst <= 1e-5 * largest) || largest == 0)
        fail_msg("%s: off by %g of %g", what, worst, largest);
}

/* Both models' streams of pair i, as their decoders would show them. The teacher runs row by row. */
static void show_pair(struct hidden_matching *h, struct hdf5_file *f, const struct batch *b, size_t i, float *student,
                      float *teacher)
{
    size_t wide = h->teacher_width;
    read_floats(f, N * STUDENT, student, "student/%zu", i);
    read_floats(f, N * TEACHER, teacher, "teacher/%zu", i);
    for (size_t row = 0; row < N; row++) /* what the case has of it, side by side */
        memmove(teacher + row * wide, teacher + row * TEACHER, wide * sizeof *teacher);
    if (h->pairs[i].projection)
        read_floats(f, TEACHER * STUDENT, h->pairs[i].projection->value, "projection/%zu", i);
    struct stream s = {.batch = b, .layer = h->pairs[i].student_layer, .x = student, .stays = true};
    h->student_hook.see(h->student_hook.context, &s);
    for (size_t row = 0; row < B; row++) {
        struct batch part = *b;
        part.n_rows = 1;
        part.targets += row * T;
        s = (struct stream){.batch = &part, .layer = h->pairs[i].teacher_layer, .x = teacher + row * T * wide};
        h->teacher_hook.see(h->teacher_hook.context, &s);
    }
}

static void compare_pair(struct hidden_matching *h, struct hdf5_file *f, const struct batch *b, size_t i,
                         const float *student, const char *group)
{
    static float got[N * STUDENT], want[N * STUDENT];
    struct param *p = h->pairs[i].projection;
    struct stream s = {.batch = b, .layer = h->pairs[i].student_layer, .x = student, .stays = true};
    for (size_t j = 0; j < N * STUDENT; j++)
        got[j] = b->targets[j / STUDENT] < 0 ? 0 : 2; /* what the stream's gradient is so far */
    h->student_hook.add_gradient(h->student_hook.context, &s, got);
    for (size_t j = 0; j < N * STUDENT; j++)
        got[j] -= b->targets[j / STUDENT] < 0 ? 0 : 2;
    read_floats(f, N * STUDENT, want, "%s/student/%zu", group, i);
    double worst = 0, rms = 0;
    for (size_t j = 0; j < N * STUDENT; j++) {
        worst = fmax(worst, fabs((double)got[j] - want[j]));
        rms = fmax(rms, fabs((double)want[j]));
        if (b->targets[j / STUDENT] < 0)
            assert_true(got[j] == 0 && want[j] == 0);
    }
    if (!(worst < 1e-6 + 1e-5 * rms)) /* what was there rounds too */
        fail_msg("%s/student/%zu: off by %g", group, i, worst);
    if (p) {
        read_floats(f, p->count, want, "%s/projection/%zu", group, i);
        assert_near(p->grad, want, p->count, group);
    }
}

static void compare_case(struct hdf5_file *f, enum hidden_kind kind, bool wide, const char *group)
{
    static float student[PAIRS][N * STUDENT], teacher[N * TEACHER];
    static int32_t targets[N];
    struct hidden_settings settings = {.n_pairs = PAIRS, .kind = kind, .weight = 0.7};
    struct model_config small = shape_of(2, STUDENT), large = shape_of(5, wide ? TEACHER : STUDENT);
    struct hidden_matching h;
    struct param_list list = {0};
    struct arena gradients;
    struct error e;
    struct batch b = {.n_rows = B, .seq_len = T, .capacity = T, .targets = targets};
    assert_ok(hdf5_read(f, "targets", HDF5_I32, N, targets, &e), e);
    for (size_t i = 0; i < N; i++)
        b.n_targets += targets[i] >= 0;
    assert_true(b.n_targets > 256); /* more than a block */
    assert_ok(hidden_matching_init(&h, &settings, &small, &large, 1, &e), e);
    assert_ok(hidden_matching_reserve(&h, N, &e), e);
    hidden_matching_add_params(&h, &list);
    assert_ok(arena_init(&gradients, 1 << 16, "test", &e), e);
    params_attach_gradients(&list, DTYPE_BF16, &gradients); /* of which they take no notice */

    hidden_matching_begin(&h);
    for (size_t i = 0; i < PAIRS; i++)
        show_pair(&h, f, &b, i, student[i], teacher);
    double want, plain = hidden_matching_loss(&h, &b, 0, false), sum = hidden_matching_loss(&h, &b, 0.25f, true);
    char name[64];
    snprintf(name, sizeof name, "%s/sum", group);
    assert_ok(hdf5_read(f, name, HDF5_F64, 1, &want, &e), e);
    assert_true(plain == sum);
    if (!(fabs(sum / want - 1) < 1e-6))
        fail_msg("%s: %.9g, PyTorch says %.9g", group, sum, want);
    for (size_t i = PAIRS; i-- > 0;)
        compare_pair(&h, f, &b, i, student[i], group);
    params_free(&list);
    arena_free(&gradients);
    hidden_matching_free(&h);
}

static void equals_pytorch(void **state)
{
    (void)state;
    struct hdf5_file *f;
    struct error e;
    assert_ok(hdf5_open(FIXTURE, &f, &e), e);
    compare_case(f, HIDDEN_MSE, true, "mse/wide");
    compare_case(f, HIDDEN_MSE, false, "mse/equal");
    compare_case(f, HIDDEN_COSINE, true, "cosine/wide");
    compare_case(f, HIDDEN_COSINE, false, "cosine/equal");
    hdf5_close(f);
}

/* --- which layers, which settings --- */

static void pairs_are_evenly_spaced(void **state)
{
    (void)state;
    static const struct {
        size_t n, student, teacher, of_student[4], of_teacher[4];
    } cases[] = {
        {1, 4, 9, {3}, {8}},
        {2, 4, 9, {1, 3}, {4, 8}},
        {3, 4, 9, {1, 2, 3}, {2, 5, 8}},
        {4, 4, 9, {0, 1, 2, 3}, {2, 4, 6, 8}},
        {2, 7, 3, {3, 6}, {1, 2}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct model_config student = shape_of(cases[k].student, 8), teacher = shape_of(cases[k].teacher, 8);
        struct hidden_settings s = {.n_pairs = cases[k].n, .weight = 1};
        struct hidden_matching h;
        struct error e;
        assert_ok(hidden_matching_init(&h, &s, &student, &teacher, 1, &e), e);
        for (size_t i = 0; i < s.n_pairs; i++) {
            assert_int_equal(h.pairs[i].student_layer, cases[k].of_student[i]);
            assert_int_equal(h.pairs[i].teacher_layer, cases[k].of_teacher[i]);
            assert_null(h.pairs[i].projection);
        }
        hidden_matching_free(&h);
    }
}

static void assert_refused(struct hidden_settings s, const char *part)
{
    struct model_config student = shape_of(4, 8), teacher = shape_of(9, 8);
    struct hidden_matching h;
    struct error e;
    assert_int_equal(hidden_matching_init(&h, &s, &student, &teacher, 1, &e), ERR_USAGE);
    if (!strstr(e.message, part))
        fail_msg("\"%s\" does not say \"%s\"", e.message, part);
    hidden_matching_free(&h);
}

static void bad_settings_are_refused(void **state)
{
    (void)state;
    assert_refused((struct hidden_settings){.n_pairs = 5, .weight = 1}, "student has 4 layers and the teacher 9; choose 1 to 4");
    assert_refused((struct hidden_settings){.n_pairs = 0, .weight = 1}, "0 pairs");
    assert_refused((struct hidden_settings){.n_pairs = 1, .weight = 0}, "above 0");
    assert_refused((struct hidden_settings){.n_pairs = 1, .weight = NAN}, "above 0");
}

static void projections_are_parameters(void **state)
{
    (void)state;
    struct model_config student = shape_of(4, 40), teacher = shape_of(4, 60);
    struct hidden_settings s = {.n_pairs = 2, .weight = 1};
    struct hidden_matching h[3];
    struct param_list list = {0};
    struct error e;
    for (size_t i = 0; i < 3; i++)
        assert_ok(hidden_matching_init(&h[i], &s, &student, &teacher, 1 + i / 2, &e), e);
    hidden_matching_add_params(&h[0], &list);
    assert_int_equal(list.count, 2);
    double squares = 0;
    for (size_t i = 0; i < list.count; i++) {
        const struct param *p = list.items[i], *same = h[1].pairs[i].projection, *other = h[2].pairs[i].projection;
        assert_true(p == h[0].pairs[i].projection && p->role == PARAM_NONE && p->data == p->value);
        assert_true(p->rows == 60 && p->cols == 40 && p->count == 2400 && p->matrix && p->type == DTYPE_F32);
        assert_memory_equal(p->value, same->value, p->count * sizeof(float));
        assert_memory_not_equal(p->value, other->value, p->count * sizeof(float));
        for (size_t j = 0; j < p->count; j++)
            squares += (double)p->value[j] * p->value[j];
    }
    assert_true(fabs(squares / (2 * 2400) * 40 - 1) < 0.1);
    assert_string_equal(list.items[1]->name, "hidden_projection.1.weight");
    assert_memory_not_equal(list.items[0]->value, list.items[1]->value, 2400 * sizeof(float));
    params_free(&list);
    for (size_t i = 0; i < 3; i++)
        hidden_matching_free(&h[i]);
}

/* --- a student and its teacher --- */

struct scene {
    struct rig student;
    struct rig teacher; /* of which only model, batch and activations are used */
    struct activations teacher_activations;
    struct hidden_matching h;
    struct param_list params; /* all that trains */
    struct arena teacher_memory, gradients;
    size_t rows_at_once;      /* of the teacher; 0: all */
};

/* What an objective does: see distill/hidden.h. */
static double match(void *context, const struct batch *b, float scale, bool backward)
{
    struct scene *s = context;
    size_t step = s->rows_at_once ? s->rows_at_once : b->n_rows;
    hidden_matching_begin(&s->h);
    for (size_t row = 0; row < b->n_rows; row += step) {
        struct batch part = *b;
        size_t at = row * b->seq_len;
        part.n_rows = step < b->n_rows - row ? step : b->n_rows - row;
        part.input_ids += at, part.targets += at, part.positions += at, part.first_key += at;
        decoder_forward(&s->teacher.model, &s->teacher_activations, &part, NULL, 0);
    }
    return hidden_matching_loss(&s->h, b, scale, backward);
}

static void take_teacher(struct scene *s, size_t n_rows, size_t seq_len, struct arena *arena)
{
    activations_init(&s->teacher_activations, &s->teacher.model, DTYPE_F32, n_rows, seq_len, KEEP_NOTHING, arena);
    params_attach_gradients(&s->params, DTYPE_F32, arena);
}

static void scene_init(struct scene *s, const struct model_config *student, const struct model_config *teacher,
                       const struct hidden_settings *settings, size_t n_rows, size_t seq_len)
{
    struct error e;
    struct arena plan = {0};
    rig_init(&s->student, student, n_rows, seq_len);
    example_weights(&s->student.model, 5);
    random_batch(&s->student.batch, student->vocab_size, 6);
    assert_ok(model_init(&s->teacher.model, teacher, &e), e);
    assert_ok(model_allocate(&s->teacher.model, &e), e);
    example_weights(&s->teacher.model, 7);
    model_reserve_positions(&s->teacher.model, seq_len);
    assert_ok(hidden_matching_init(&s->h, settings, student, teacher, 8, &e), e);
    assert_ok(hidden_matching_reserve(&s->h, n_rows * seq_len, &e), e);
    hidden_matching_add_params(&s->h, &s->params);
    take_teacher(s, n_rows, seq_len, &plan);
    activations_free(&s->teacher_activations);
    assert_ok(arena_init(&s->teacher_memory, plan.used, "test", &e), e);
    take_teacher(s, n_rows, seq_len, &s->teacher_memory);
    for (size_t i = 0; i < s->student.model.all.count; i++)
        params_add(&s->params, s->student.model.all.items[i]);
    s->student.activations.stream_hook = &s->h.student_hook;
    s->teacher_activations.stream_hook = &s->h.teacher_hook;
    s->student.beside = match;
    s->student.beside_context = s;
}

static void scene_free(struct scene *s)
{
    params_free(&s->params);
    hidden_matching_free(&s->h);
    activations_free(&s->teacher_activations);
    model_free(&s->teacher.model);
    arena_free(&s->teacher_memory);
    rig_free(&s->student);
}

static double scene_step(struct scene *s)
{
    params_clear_gradients(&s->params);
    return rig_step(&s->student, 0);
}

static struct model_config decoder_config(size_t n_layers, size_t width, bool tied)
{
    return (struct model_config){
        .vocab_size = 23, .hidden_size = width, .intermediate_size = 24, .num_hidden_layers = n_layers,
        .num_attention_heads = 4, .num_key_value_heads = 2, .rms_norm_eps = 1e-5, .rope_theta = 10000,
        .initializer_range = 0.3, .rope_style = ROPE_INTERLEAVED, .tie_word_embeddings = tied,
    };
}

/* The least of several steps, which are smaller where the gradient is large: curvature asks for small ones, rounding and
 * experts that are chosen anew for others. */
static double least_error(struct scene *s, struct param *p)
{
    static const double steps[] = {0.02, 0.008, 0.003, 0.001, 0.0003};
    double least = INFINITY, squares = 0;
    for (size_t i = 0; i < p->count; i++)
        squares += pow((double)((float *)p->grad)[i], 2);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !(least < 2e-3); i++)
        least = fmin(least, slope_error(&s->student, p, 0, steps[i] / fmax(1, sqrt(squares))));
    return least;
}

static double worst_error(struct scene *s)
{
    double worst = 0;
    scene_step(s);
    for (size_t i = 0; i < s->params.count; i++)
        worst = fmax(worst, least_error(s, s->params.items[i]));
    return worst;
}

static const struct matched_case {
    size_t student_layers, student_width, teacher_layers, teacher_width;
    struct hidden_settings settings;
    bool tied;
} matched_cases[] = {
    {3, 16, 4, 24, {1, HIDDEN_MSE, 0.5, false}, true},
    {3, 16, 4, 24, {3, HIDDEN_MSE, 0.5, false}, false},
    {3, 16, 4, 24, {2, HIDDEN_COSINE, 2, false}, true},
    {3, 16, 4, 16, {2, HIDDEN_MSE, 0.5, false}, true},
    {3, 16, 4, 16, {2, HIDDEN_MSE, 0.5, true}, false},
    {3, 16, 2, 16, {2, HIDDEN_COSINE, 2, false}, false},
};
enum { MATCHED_CASES = sizeof matched_cases / sizeof *matched_cases };

static void case_init(struct scene *s, const struct matched_case *c, size_t n_rows)
{
    struct model_config student = decoder_config(c->student_layers, c->student_width, c->tied);
    struct model_config teacher = decoder_config(c->teacher_layers, c->teacher_width, true);
    scene_init(s, &student, &teacher, &c->settings, n_rows, 11);
}

static void equals_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < MATCHED_CASES; i++) {
        struct scene s = {.student.checkpoint = i % 2};
        case_init(&s, &matched_cases[i], 3);
        double error = worst_error(&s);
        if (!(error < 2e-3))
            fail_msg("case %zu: slope off by %g", i, error);
        scene_free(&s);
    }
}

/* The hook of a student whose gradient goes astray. */
static struct hidden_matching *astray;
static void add_too_much(void *context, const struct stream *s, float *dx)
{
    size_t n = s->batch->n_rows * s->batch->seq_len * astray->student_width;
    float *before = mem_alloc(n, sizeof *before);
    memcpy(before, dx, n * sizeof *dx);
    astray->student_hook.add_gradient(context, s, dx);
    for (size_t i = 0; i < n; i++)
        dx[i] += 0.05f * (dx[i] - before[i]);
    mem_free(before);
}

static void a_wrong_gradient_is_noticed(void **state)
{
    (void)state;
    struct scene s = {0};
    case_init(&s, &matched_cases[1], 3);
    struct stream_hook wrong = s.h.student_hook;
    wrong.add_gradient = add_too_much;
    astray = &s.h;
    assert_true(worst_error(&s) < 2e-3);
    s.student.activations.stream_hook = &wrong;
    assert_true(worst_error(&s) > 5e-3);
    scene_free(&s);
}

/* Parallel branches and LayerNorm, norms behind the branches, soft caps and windows, experts. */
static void holds_for_every_kind_of_block(void **state)
{
    (void)state;
    static const char *const names[] = {"stablelm-12b", "olmo2", "gemma2", "granite", "mixtral"};
    struct model_config teacher = decoder_config(3, 48, true);
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        for (size_t j = 0; j < sizeof names / sizeof *names; j++) {
            if (strcmp(examples[i].name, names[j]) != 0)
                continue;
            struct scene s = {.student.checkpoint = j % 2};
            struct model_config student;
            struct error e;
            assert_ok(example_config(&examples[i], 23, &student, &e), e);
            scene_init(&s, &student, &teacher, &(struct hidden_settings){2, HIDDEN_MSE, 0.5, false}, 1, 28);
            scene_step(&s);
            for (size_t k = 0; k < s.params.count; k += k < 3 ? 1 : 5) {
                double error = least_error(&s, s.params.items[k]);
                if (!(error < 4e-3))
                    fail_msg("%s: %s: slope off by %g", names[j], s.params.items[k]->name, error);
            }
            scene_free(&s);
        }
    }
}

/* --- the same bits, however it is computed --- */

static void assert_same_gradients(const struct scene *a, const struct scene *b)
{
    assert_int_equal(a->params.count, b->params.count);
    for (size_t i = 0; i < a->params.count; i++)
        assert_memory_equal(a->params.items[i]->grad, b->params.items[i]->grad,
                            a->params.items[i]->count * sizeof(float));
}

static void gives_the_same_bits(void **state)
{
    (void)state;
    int threads = kernels_threads();
    for (size_t i = 0; i < MATCHED_CASES; i++) {
        struct scene all = {0}, again = {.student.checkpoint = true, .rows_at_once = 2};
        case_init(&all, &matched_cases[i], 5);
        case_init(&again, &matched_cases[i], 5);
        double sum = scene_step(&all);
        kernels_set_threads(threads == 1 ? 2 : 1);
        assert_true(scene_step(&again) == sum);
        kernels_set_threads(threads);
        assert_same_gradients(&all, &again);
        assert_true(scene_step(&all) == sum); /* nothing stays from step to step */
        assert_same_gradients(&all, &again);
        scene_free(&all);
        scene_free(&again);
    }
}

struct seen {
    size_t next, n_layers;
    const float *last;
};
static void look(void *context, const struct stream *s)
{
    struct seen *seen = context;
    assert_int_equal(s->layer, seen->next % seen->n_layers);
    assert_true(s->stays);
    seen->next++;
    seen->last = s->x;
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    struct model_config config = decoder_config(3, 16, true);
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        struct rig plain = {.checkpoint = checkpoint}, looked_at = {.checkpoint = checkpoint};
        struct seen seen = {.n_layers = 3};
        struct stream_hook hook = {.context = &seen, .see = look};
        rig_init(&plain, &config, 2, 9);
        rig_init(&looked_at, &config, 2, 9);
        model_initialize(&plain.model, 3);
        model_initialize(&looked_at.model, 3);
        random_batch(&plain.batch, 23, 4);
        random_batch(&looked_at.batch, 23, 4);
        looked_at.activations.stream_hook = &hook;
        assert_true(rig_step(&plain, 0) == rig_step(&looked_at, 0));
        assert_int_equal(seen.next, 3); /* once each, also where blocks are computed again */
        assert_true(seen.last == looked_at.activations.last);
        for (size_t i = 0; i < plain.model.n_params; i++)
            assert_memory_equal(plain.model.params[i].grad, looked_at.model.params[i].grad,
                                plain.model.params[i].count * sizeof(float));
        rig_free(&plain);
        rig_free(&looked_at);
    }
}

/* --- accumulation --- */

static void copy_rows(struct batch *to, const struct batch *from, size_t first)
{
    size_t n = to->n_rows * to->seq_len, at = first * from->seq_len;
    memcpy(to->input_ids, from->input_ids + at, n * sizeof *to->input_ids);
    memcpy(to->targets, from->targets + at, n * sizeof *to->targets);
    memcpy(to->positions, from->positions + at, n * sizeof *to->positions);
    memcpy(to->first_key, from->first_key + at, n * sizeof *to->first_key);
    to->n_targets = 0;
    for (size_t i = 0; i < n; i++)
        to->n_targets += to->targets[i] >= 0;
}

/* A micro-batch as the trainer does it. */
static double micro_batch(struct scene *s, float scale)
{
    struct rig *r = &s->student;
    const struct objective *o = &language_model_objective;
    const void *hidden = decoder_forward(&r->model, &r->activations, &r->batch, NULL, 0);
    double sum = o->loss(o, &r->model, &r->batch, hidden, DTYPE_F32, scale, r->activations.dnormed, r->scratch);
    sum += match(s, &r->batch, scale, true);
    decoder_backward(&r->model, &r->activations, &r->batch, r->activations.dnormed, 0);
    return sum;
}

static void accumulation_equals_the_large_batch(void **state)
{
    (void)state;
    struct scene large = {0}, small = {0};
    case_init(&large, &matched_cases[1], 4);
    case_init(&small, &matched_cases[1], 2);
    struct batch *b = &large.student.batch;
    for (size_t i = b->seq_len; i < 2 * b->seq_len; i++) { /* a row without targets, and one with few */
        b->n_targets -= b->targets[i] >= 0;
        b->targets[i] = TARGET_IGNORED;
    }
    double sum = scene_step(&large), parts = 0;
    params_clear_gradients(&small.params);
    for (size_t first = 0; first < 4; first += 2) {
        copy_rows(&small.student.batch, b, first);
        parts += micro_batch(&small, 1 / (float)b->n_targets);
    }
    assert_true(fabs(parts / sum - 1) < 1e-6);
    for (size_t i = 0; i < large.params.count; i++)
        assert_near(small.params.items[i]->grad, large.params.items[i]->grad, large.params.items[i]->count,
                    large.params.items[i]->name);
    scene_free(&large);
    scene_free(&small);
}

/* Its gradients are 0, not what was there. */
static void a_batch_without_targets(void **state)
{
    (void)state;
    struct scene s = {0};
    case_init(&s, &matched_cases[0], 2);
    scene_step(&s);
    struct batch *b = &s.student.batch;
    for (size_t i = 0; i < b->n_rows * b->seq_len; i++)
        b->targets[i] = TARGET_IGNORED;
    b->n_targets = 0;
    params_clear_gradients(&s.params);
    assert_true(micro_batch(&s, 0) == 0);
    for (size_t i = 0; i < s.params.count; i++)
        for (size_t j = 0; j < s.params.items[i]->count; j++)
            assert_true(((float *)s.params.items[i]->grad)[j] == 0);
    scene_free(&s);
}

/* --- in bf16, and in training --- */

static void bf16_is_near(void **state)
{
    (void)state;
    struct scene exact = {0}, rounded = {.student.type = DTYPE_BF16};
    case_init(&exact, &matched_cases[1], 3);
    case_init(&rounded, &matched_cases[1], 3);
    assert_true(fabs(scene_step(&rounded) / scene_step(&exact) - 1) < 0.01);
    for (size_t k = 0; k < exact.h.n_params; k++) {
        const float *want = exact.params.items[k]->grad, *got = rounded.params.items[k]->grad;
        double squares = 0, apart = 0;
        for (size_t i = 0; i < exact.params.items[k]->count; i++) {
            squares += (double)want[i] * want[i];
            apart += pow((double)got[i] - want[i], 2);
        }
        assert_true(apart > 0 && sqrt(apart / squares) < 0.02);
    }
    scene_free(&exact);
    scene_free(&rounded);
}

static double distance_of(struct scene *s)
{
    struct rig *r = &s->student;
    decoder_forward(&r->model, &r->activations, &r->batch, NULL, 0);
    return match(s, &r->batch, 0, false) / (double)r->batch.n_targets;
}

/* Projections and student together come nearer, and a checkpoint brings both back. */
static void learns_and_is_saved(void **state)
{
    (void)state;
    struct scene s = {0};
    struct optimizer o;
    struct optimizer_settings settings = {OPTIMIZER_ADAMW, 0.9, 0.95, 1e-8, 0, 0, MOMENT_F32};
    struct arena arena;
    struct error e;
    char path[] = "/tmp/linnet-test-XXXXXX";
    close(mkstemp(path));
    case_init(&s, &matched_cases[2], 3);
    assert_ok(arena_init(&arena, 4 << 20, "test", &e), e);
    optimizer_init(&o, &settings, &s.params, &arena);
    double before = distance_of(&s);
    for (int i = 0; i < 60; i++) {
        rig_step(&s.student, 0);
        optimizer_update(&o, 0.01, 1);
    }
    double after = distance_of(&s);
    assert_true(after < 0.3 * before);
    struct run_state run = {.step = 60}, read;
    assert_ok(checkpoint_write(path, &o, true, NULL, &run, "", &e), e);
    memset(s.h.params[0].value, 0, s.h.params[0].count * sizeof(float));
    assert_true(distance_of(&s) > after);
    assert_ok(checkpoint_read(path, &o, &read, &e), e);
    assert_true(distance_of(&s) == after);
    unlink(path);
    optimizer_free(&o);
    arena_free(&arena);
    scene_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pytorch),
        cmocka_unit_test(pairs_are_evenly_spaced),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(projections_are_parameters),
        cmocka_unit_test(equals_finite_differences),
        cmocka_unit_test(a_wrong_gradient_is_noticed),
        cmocka_unit_test(holds_for_every_kind_of_block),
        cmocka_unit_test(gives_the_same_bits),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(accumulation_equals_the_large_batch),
        cmocka_unit_test(a_batch_without_targets),
        cmocka_unit_test(bf16_is_near),
        cmocka_unit_test(learns_and_is_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
