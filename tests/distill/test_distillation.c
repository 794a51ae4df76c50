/* The objective of distillation with its teachers: a dump gives what the model gives that it was made of, whatever form it
 * has; and what goes wrong with a teacher ends the step. */
#include "base/file.h"
#include "base/rng.h"
#include "data/example_rows.h"
#include "distill/dump_teacher.h"
#include "distill/model_teacher.h"
#include "distill/objective.h"
#include "kernels/gemm.h"
#include "model/decoder.h"
#include "tests/test.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { V = 61, SEQUENCES = 9, T = 24, ROWS = 3, MOST = 20 };

/* --- two models and texts --- */

static void make_model(struct model *m, size_t vocab, size_t width, uint64_t seed)
{
    struct error e;
    const struct model_config c = {.vocab_size = vocab, .hidden_size = width, .intermediate_size = 2 * width,
                                   .num_hidden_layers = 2, .num_attention_heads = 4, .num_key_value_heads = 2,
                                   .rms_norm_eps = 1e-5, .rope_theta = 10000, .tie_word_embeddings = true,
                                   .initializer_range = 0.3, .max_position_embeddings = T}; /* far from uniform */
    assert_ok(model_init(m, &c, &e), e);
    assert_ok(model_allocate(m, &e), e);
    model_initialize(m, seed);
}

struct texts {
    struct examples examples;
    size_t begin[SEQUENCES + 1];
    int32_t ids[SEQUENCES * MOST];
    uint8_t learned[SEQUENCES * MOST];
};

static void make_texts(struct texts *t)
{
    struct rng rng;
    rng_init(&rng, 5, 0);
    for (size_t i = 0; i < SEQUENCES; i++) {
        size_t n = 5 + rng_below(&rng, MOST - 5);
        t->begin[i + 1] = t->begin[i] + n;
        for (size_t k = t->begin[i]; k < t->begin[i + 1]; k++) {
            t->ids[k] = (int32_t)rng_below(&rng, V);
            t->learned[k] = k > t->begin[i] && rng_below(&rng, 4) > 0;
        }
    }
    t->examples = (struct examples){.count = SEQUENCES, .begin = t->begin, .ids = t->ids, .learned = t->learned};
}

/* --- a student that looks at batches --- */

struct student {
    struct model model;
    struct activations activations;
    struct batch batch;
    struct arena arena;
    float *scratch, *dhidden;
    size_t n_scratch;
};

static void take(struct student *s, const struct objective *o, struct arena *arena)
{
    activations_init(&s->activations, &s->model, DTYPE_F32, ROWS, T, KEEP_ALL, arena);
    batch_init(&s->batch, ROWS, T, arena);
    s->n_scratch = o->scratch(o, &s->model.config, ROWS * T);
    s->scratch = arena_alloc(arena, s->n_scratch, sizeof(float));
    s->dhidden = arena_alloc(arena, ROWS * T * s->model.config.hidden_size, sizeof(float));
}

static void open_student(struct student *s, const struct objective *o)
{
    struct error e;
    struct arena plan = {0};
    *s = (struct student){0};
    make_model(&s->model, V, 16, 3);
    take(s, o, &plan);
    activations_free(&s->activations);
    assert_ok(arena_init(&s->arena, plan.used, "test", &e), e);
    take(s, o, &s->arena);
    model_reserve_positions(&s->model, T);
    if (o->prepare)
        assert_ok(o->prepare(o, ROWS, T, &e), e);
}

static void close_student(struct student *s)
{
    activations_free(&s->activations);
    arena_free(&s->arena);
    model_free(&s->model);
}

/* All that a look gives. */
struct seen {
    double loss, measures[DISTILL_MEASURES];
    float dhidden[ROWS * T * 16];
};

static void look(struct student *s, const struct objective *o, struct loader l, struct seen *r)
{
    struct error e;
    loader_next(&l, &s->batch);
    objective_clear(o);
    memset(r, 0, sizeof *r);
    const void *hidden = decoder_forward(&s->model, &s->activations, &s->batch, NULL, 0);
    r->loss = o->loss(o, &s->model, &s->batch, hidden, DTYPE_F32, 1 / (float)s->batch.n_targets, s->dhidden, s->scratch);
    assert_ok(objective_check(o, &e), e);
    memcpy(r->dhidden, s->dhidden, s->batch.n_rows * s->batch.seq_len * 16 * sizeof *s->dhidden);
    for (int i = 0; i < DISTILL_MEASURES; i++)
        r->measures[i] = o->measures[i].count > 0 ? o->measures[i].sum / o->measures[i].count : 0;
}

static double difference(const struct seen *a, const struct seen *b)
{
    double worst = fabs(a->loss - b->loss) / fabs(a->loss), largest = 0, apart = 0;
    for (size_t i = 0; i < sizeof a->dhidden / sizeof *a->dhidden; i++) {
        largest = fmax(largest, fabs((double)a->dhidden[i]));
        apart = fmax(apart, fabs((double)a->dhidden[i] - b->dhidden[i]));
    }
    assert_true(largest > 0);
    return fmax(worst, apart / largest);
}

/* --- dumps of the teacher --- */

/* The k likeliest of a row, ascending by id, and how likely the others are. */
static size_t keep_likeliest(const float *logits, size_t k, int32_t *ids, float *log_probs, float *log_tail)
{
    double sum = 0, kept = 0;
    size_t n = 0;
    for (size_t i = 0; i < V; i++)
        sum += exp(logits[i]);
    for (size_t i = 0; i < V; i++) {
        size_t above = 0;
        for (size_t j = 0; j < V; j++)
            above += logits[j] > logits[i];
        if (above >= k)
            continue;
        ids[n] = (int32_t)i;
        log_probs[n++] = (float)(logits[i] - log(sum));
        kept += exp(logits[i]);
    }
    *log_tail = n == V ? -INFINITY : (float)log((sum - kept) / sum);
    return n;
}

static void write_sequence(struct dump_writer *w, struct model_teacher *t, const struct texts *x, size_t i, size_t k)
{
    static float logits[MOST * (V + 32)], sparse[MOST * V], tail[MOST];
    static int32_t ids[MOST * V];
    size_t begin[MOST + 1] = {0}, n = x->begin[i + 1] - x->begin[i], supervised = 0;
    int32_t positions[MOST], first[MOST] = {0};
    uint32_t rows[MOST];
    struct soft_targets out;
    struct error e;
    for (size_t j = 0; j < n; j++) {
        positions[j] = (int32_t)j;
        if (x->learned[x->begin[i] + j])
            rows[supervised++] = (uint32_t)j - 1;
    }
    struct batch b = {.n_rows = 1, .seq_len = n, .capacity = n, .input_ids = (int32_t *)x->ids + x->begin[i],
                      .positions = positions, .first_key = first};
    assert_ok(t->teacher.begin(t, &b, &e), e);
    assert_ok(t->teacher.rows(t, &b, rows, supervised, logits, &out, &e), e);
    for (size_t j = 0; j < supervised; j++)
        begin[j + 1] = begin[j] + keep_likeliest(logits + j * V, k, ids + begin[j], sparse + begin[j], &tail[j]);
    struct soft_targets top = {.v = V, .begin = begin, .ids = ids, .log_probs = sparse, .log_tail = tail,
                               .source_temperature = 1};
    assert_ok(dump_writer_add(w, x->ids + x->begin[i], x->learned + x->begin[i], n, k ? &top : &out, &e), e);
}

static char folder[] = "/tmp/linnet-distillation-XXXXXX";

/* k 0: dense. */
static void write_dump(struct model *teacher, const struct texts *x, size_t k, const char *path)
{
    char name[] = "teacher";
    struct dump_description d = {.kind = k ? DUMP_TOP : DUMP_DENSE, .vocab_size = V, .most = k ? k : V, .temperature = 1,
                                 .tokenizer_hash = 7, .teacher = name};
    struct dump_writer_options o = {.path = path, .compression = 1};
    struct dump_writer *w;
    struct model_teacher t;
    struct error e;
    size_t sequences, positions;
    model_teacher_init(&t, teacher);
    assert_ok(t.teacher.prepare(&t, 1, MOST, &e), e);
    assert_ok(dump_writer_open(&o, &d, &w, &sequences, &positions, &e), e);
    for (size_t i = 0; i < SEQUENCES; i++)
        write_sequence(w, &t, x, i, k);
    assert_ok(dump_writer_finish(w, &e), e);
    dump_writer_close(w);
    model_teacher_free(&t);
}

static void look_at_dump(const char *path, const struct soft_loss *loss, struct seen *r)
{
    struct dump d;
    struct dump_pair pair = {.train = &d, .vocab_size = V};
    struct teacher teacher = dump_teacher(&pair);
    struct distillation distillation;
    struct example_rows rows;
    struct student s;
    struct error e;
    assert_ok(dump_open(path, &d, &e), e);
    distillation_init(&distillation, loss, &teacher);
    example_rows_init(&rows, &d.examples, NULL, 0, T, true, true, 1);
    open_student(&s, &distillation.objective);
    look(&s, &distillation.objective, example_rows_loader(&rows), r);
    close_student(&s);
    example_rows_free(&rows);
    dump_close(&d);
}

static void look_at_model(struct model *teacher, const struct texts *x, const struct soft_loss *loss, struct seen *r)
{
    struct model_teacher t;
    struct distillation distillation;
    struct example_rows rows;
    struct student s;
    model_teacher_init(&t, teacher);
    distillation_init(&distillation, loss, &t.teacher);
    example_rows_init(&rows, &x->examples, NULL, 0, T, true, true, 1);
    open_student(&s, &distillation.objective);
    look(&s, &distillation.objective, example_rows_loader(&rows), r);
    close_student(&s);
    example_rows_free(&rows);
    model_teacher_free(&t);
}

static void a_dump_is_the_model_it_was_made_of(void **state)
{
    (void)state;
    static struct texts x;
    struct model teacher;
    make_texts(&x);
    make_model(&teacher, V, 32, 11);
    char *dense = path_join(folder, "dense"), *all = path_join(folder, "all"), *some = path_join(folder, "some");
    write_dump(&teacher, &x, 0, dense);
    write_dump(&teacher, &x, V, all);
    write_dump(&teacher, &x, 8, some);
    for (int kind = 0; kind < DIVERGENCES; kind++) {
        const struct soft_loss loss = {.divergence = (enum divergence_kind)kind, .beta = 0.4f, .temperature = 1,
                                       .tail = TAIL_BUCKET, .teacher_weight = 0.7f, .target_weight = 0.3f};
        static struct seen online, from_dense, from_all, from_some;
        look_at_model(&teacher, &x, &loss, &online);
        look_at_dump(dense, &loss, &from_dense);
        look_at_dump(all, &loss, &from_all);
        look_at_dump(some, &loss, &from_some);
        /* what is stored is in f16 */
        assert_true(difference(&online, &from_dense) < 2e-3);
        assert_true(difference(&from_dense, &from_all) < 1e-5);
        assert_true(difference(&online, &from_some) > 1e-2); /* a coarser look at p */
        assert_true(fabs(online.measures[DISTILL_CROSS_ENTROPY] - from_some.measures[DISTILL_CROSS_ENTROPY]) < 1e-5);
        assert_true(online.measures[DISTILL_AGREEMENT] == from_some.measures[DISTILL_AGREEMENT]);
        assert_true(online.measures[DISTILL_DIVERGENCE] > from_some.measures[DISTILL_DIVERGENCE]);
    }
    mem_free(dense);
    mem_free(all);
    mem_free(some);
    model_free(&teacher);
}

/* A student that is its teacher has nothing to learn. */
static void the_teacher_itself_agrees(void **state)
{
    (void)state;
    static struct texts x;
    struct model teacher;
    static struct seen r;
    make_texts(&x);
    make_model(&teacher, V, 16, 3);
    for (int kind = 0; kind < DIVERGENCES; kind++) {
        const struct soft_loss loss = {.divergence = (enum divergence_kind)kind, .beta = 0.4f, .temperature = 2,
                                       .tail = TAIL_BUCKET, .teacher_weight = 1};
        look_at_model(&teacher, &x, &loss, &r);
        assert_true(fabs(r.loss) < 1e-4);
        assert_true(r.measures[DISTILL_AGREEMENT] == 1);
        for (size_t i = 0; i < sizeof r.dhidden / sizeof *r.dhidden; i++)
            assert_true(fabsf(r.dhidden[i]) < 1e-5f);
    }
    model_free(&teacher);
}

/* Without the teacher's share it is next-token prediction. */
static void alpha_0_is_the_text_alone(void **state)
{
    (void)state;
    static struct texts x;
    struct model teacher;
    struct student s;
    struct example_rows rows;
    static struct seen r;
    const struct soft_loss loss = {.divergence = FORWARD_KL, .temperature = 1, .target_weight = 1};
    make_texts(&x);
    make_model(&teacher, V, 32, 11);
    look_at_model(&teacher, &x, &loss, &r);
    example_rows_init(&rows, &x.examples, NULL, 0, T, true, true, 1);
    struct loader l = example_rows_loader(&rows);
    const struct objective *plain = &language_model_objective;
    open_student(&s, plain);
    loader_next(&l, &s.batch);
    const void *hidden = decoder_forward(&s.model, &s.activations, &s.batch, NULL, 0);
    double want = plain->loss(plain, &s.model, &s.batch, hidden, DTYPE_F32, 1 / (float)s.batch.n_targets, s.dhidden,
                              s.scratch);
    assert_true(fabs(want - r.loss) < 1e-5 * want);
    assert_true(fabs(want / (double)s.batch.n_targets - r.measures[DISTILL_CROSS_ENTROPY]) < 1e-5);
    for (size_t i = 0; i < s.batch.n_rows * s.batch.seq_len * 16; i++)
        assert_true(fabsf(s.dhidden[i] - r.dhidden[i]) < 1e-6f);
    close_student(&s);
    example_rows_free(&rows);
    model_free(&teacher);
}

/* --- a teacher that fails --- */

static size_t no_scratch(const void *context, size_t n)
{
    (void)context, (void)n;
    return 0;
}

static int fail_rows(void *context, const struct batch *b, const uint32_t *rows, size_t n, float *scratch,
                     struct soft_targets *out, struct error *e)
{
    (void)context, (void)b, (void)rows, (void)n, (void)scratch, (void)out;
    return error_set(e, ERR_IO, "the disk is gone");
}

static void a_failing_teacher_ends_the_step(void **state)
{
    (void)state;
    static struct texts x;
    struct teacher teacher = {.scratch = no_scratch, .rows = fail_rows};
    struct distillation d;
    struct model student;
    struct example_rows rows;
    struct train_step step;
    struct error e;
    const struct soft_loss loss = {.divergence = FORWARD_KL, .temperature = 1, .teacher_weight = 1};
    const struct train_settings settings = {.iters = 2, .batch_size = 2, .grad_accumulation = 1, .max_seq_length = T,
                                            .max_bad_steps = 5, .dtype = TRAIN_F32};
    const struct optim_settings optim = {.learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8};
    make_texts(&x);
    make_model(&student, V, 16, 3);
    example_rows_init(&rows, &x.examples, NULL, 0, T, true, true, 1);
    distillation_init(&d, &loss, &teacher);
    struct trainer t = {.model = &student, .params = &student.all, .objective = &d.objective, .settings = &settings,
                        .optim = &optim, .run = "", .config = ""};
    assert_ok(trainer_init(&t, &e), e);
    t.train = example_rows_loader(&rows);
    float before = student.params[0].value[0];
    assert_int_equal(trainer_step(&t, &step, &e), ERR_IO);
    assert_string_equal(e.message, "the disk is gone");
    assert_true(student.params[0].value[0] == before && t.state.step == 0);
    trainer_free(&t);
    example_rows_free(&rows);
    model_free(&student);
}

/* What a step holds does not grow with the teacher's whole vocabulary times the batch. */
static void scratch_is_of_blocks(void **state)
{
    (void)state;
    struct model teacher;
    struct model_teacher t;
    struct distillation d;
    const struct soft_loss loss = {.temperature = 1, .teacher_weight = 1};
    make_model(&teacher, V, 32, 11);
    model_teacher_init(&t, &teacher);
    distillation_init(&d, &loss, &t.teacher);
    const struct model_config c = {.vocab_size = 128000, .hidden_size = 64};
    size_t n = 16384;
    assert_true(d.objective.scratch(&d.objective, &c, n) < n * c.vocab_size / 16);
    model_teacher_free(&t);
    model_free(&teacher);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char *command = mem_printf("rm -rf '%s'", folder);
    int status = system(command);
    mem_free(command);
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dump_is_the_model_it_was_made_of),
        cmocka_unit_test(the_teacher_itself_agrees),
        cmocka_unit_test(alpha_0_is_the_text_alone),
        cmocka_unit_test(a_failing_teacher_ends_the_step),
        cmocka_unit_test(scratch_is_of_blocks),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
