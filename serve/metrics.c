#include "serve/metrics.h"

#include <inttypes.h>

void metrics_count(struct metrics *m, size_t endpoint, int status)
{
    size_t e = endpoint < METRICS_ENDPOINTS ? endpoint : METRICS_ENDPOINTS - 1;
    size_t s = status >= 0 && status < METRICS_STATUSES ? (size_t)status : METRICS_STATUSES - 1;
    atomic_fetch_add_explicit(&m->requests[e][s], 1, memory_order_relaxed);
}

static void print_requests(struct metrics *m, const char *const *names, struct buffer *out)
{
    buffer_string(out, "# HELP linnet_requests_total Requests that are over; 499: the client went away.\n"
                       "# TYPE linnet_requests_total counter\n");
    for (size_t e = 0; e < METRICS_ENDPOINTS && names[e]; e++)
        for (size_t s = 0; s < METRICS_STATUSES; s++) {
            uint64_t n = atomic_load_explicit(&m->requests[e][s], memory_order_relaxed);
            if (n)
                buffer_printf(out, "linnet_requests_total{endpoint=\"%s\",status=\"%zu\"} %" PRIu64 "\n", names[e], s,
                              n);
        }
}

void metrics_print(struct metrics *m, const char *const *names, const struct scheduler_stats *s, struct buffer *out)
{
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"prompt_tokens_total", "counter", "Tokens of prompts that were computed.", (double)s->n_prompt},
        {"cached_prompt_tokens_total", "counter", "Tokens of prompts that were in the cache.", (double)s->n_cached},
        {"generated_tokens_total", "counter", "Tokens that were drawn.", (double)s->n_generated},
        {"prefill_seconds_total", "counter", "Time spent on prompts.", s->prefill_seconds},
        {"decode_seconds_total", "counter", "Time spent on tokens one by one.", s->decode_seconds},
        {"steps_total", "counter", "Forward passes.", (double)s->n_steps},
        {"queue_length", "gauge", "Texts that wait for a slot.", (double)s->n_queued},
        {"slots_busy", "gauge", "Texts that are being written.", (double)s->n_running},
        {"slots", "gauge", "Texts that can be written at once.", (double)s->n_slots},
    };
    print_requests(m, names, out);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        buffer_printf(out, "# HELP linnet_%s %s\n# TYPE linnet_%s %s\nlinnet_%s %.15g\n", rows[i].name, rows[i].help,
                      rows[i].name, rows[i].type, rows[i].name, rows[i].value);
}
