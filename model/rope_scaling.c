#include "model/rope_scaling.h"

#include <math.h>

size_t rope_original_length(const struct model_config *c)
{
    size_t original = c->rope_scaling.original_max_position_embeddings;
    return original ? original : c->max_position_embeddings;
}

static double llama3_divisor(const struct rope_scaling *s, double original, double frequency)
{
    double wavelength = 2 * M_PI / frequency;
    if (wavelength < original / s->high_freq_factor)
        return 1;
    if (wavelength > original / s->low_freq_factor)
        return s->factor;
    double smooth = (original / wavelength - s->low_freq_factor) /
                    (s->high_freq_factor - s->low_freq_factor);
    return 1 / ((1 - smooth) / s->factor + smooth);
}

/* The component that makes `turns` turns within the original context. */
static double yarn_component(double turns, double original, double theta, double dim)
{
    return dim * log(original / (turns * 2 * M_PI)) / (2 * log(theta));
}

static void yarn_divisors(const struct model_config *c, double *divisor)
{
    const struct rope_scaling *s = &c->rope_scaling;
    size_t dim = model_rotary_dim(c);
    double original = (double)rope_original_length(c);
    double fast = s->beta_fast > 0 ? s->beta_fast : 32, slow = s->beta_slow > 0 ? s->beta_slow : 1;
    double low = floor(yarn_component(fast, original, c->rope_theta, (double)dim));
    double high = ceil(yarn_component(slow, original, c->rope_theta, (double)dim));
    low = fmax(low, 0);
    high = fmin(high, (double)dim - 1);
    if (low == high)
        high += 0.001;
    for (size_t i = 0; i < dim / 2; i++) {
        double ramp = fmin(fmax(((double)i - low) / (high - low), 0), 1);
        divisor[i] = 1 / (1 - ramp + ramp / s->factor);
    }
}

void rope_divisors(const struct model_config *c, size_t length, double *divisor)
{
    const struct rope_scaling *s = &c->rope_scaling;
    size_t half = model_rotary_dim(c) / 2;
    double original = (double)rope_original_length(c);
    const struct option_numbers *factors = (double)length > original ? &s->long_factor
                                                                     : &s->short_factor;
    if (s->type == ROPE_YARN) {
        yarn_divisors(c, divisor);
        return;
    }
    for (size_t i = 0; i < half; i++) {
        divisor[i] = 1;
        if (s->type == ROPE_LINEAR)
            divisor[i] = s->factor;
        else if (s->type == ROPE_LLAMA3)
            divisor[i] = llama3_divisor(s, original, pow(c->rope_theta, -(double)i / (double)half));
        else if (s->type == ROPE_LONGROPE)
            divisor[i] = factors->items[i];
    }
}

double rope_magnitude(const struct model_config *c)
{
    const struct rope_scaling *s = &c->rope_scaling;
    if (s->type != ROPE_YARN && s->type != ROPE_LONGROPE)
        return 1;
    if (s->attention_factor > 0)
        return s->attention_factor;
    if (s->type == ROPE_YARN)
        return 0.1 * log(s->factor) + 1;
    double original = (double)rope_original_length(c);
    double factor = s->factor > 0 ? s->factor : (double)c->max_position_embeddings / original;
    return factor > 1 ? sqrt(1 + log(factor) / log(original)) : 1;
}

/* The base under which a context of `length` keeps the longest wave it was trained with. */
static double dynamic_theta(const struct model_config *c, size_t length)
{
    double dim = (double)model_rotary_dim(c), most = (double)c->max_position_embeddings;
    double s = c->rope_scaling.factor;
    if (most == 0 || (double)length <= most || dim <= 2)
        return c->rope_theta;
    return c->rope_theta * pow(s * (double)length / most - (s - 1), dim / (dim - 2));
}

double rope_frequencies(const struct model_config *c, bool local, size_t length, double *frequency)
{
    size_t half = model_rotary_dim(c) / 2;
    double theta = local ? c->rope_local_base_freq : c->rope_theta;
    bool stretched = !local && c->rope_scaling.type != ROPE_DEFAULT;
    if (stretched && c->rope_scaling.type == ROPE_DYNAMIC)
        theta = dynamic_theta(c, length);
    if (stretched)
        rope_divisors(c, length, frequency);
    for (size_t i = 0; i < half; i++)
        frequency[i] = pow(theta, -(double)i / (double)half) / (stretched ? frequency[i] : 1);
    return stretched ? rope_magnitude(c) : 1;
}

void model_set_context(struct model_config *c, size_t length)
{
    struct rope_scaling *s = &c->rope_scaling;
    double magnitude = rope_magnitude(c);
    if (s->type == ROPE_DYNAMIC)
        return; /* grows from the length it was made for */
    if (s->type != ROPE_DEFAULT && s->type != ROPE_LINEAR)
        s->original_max_position_embeddings = rope_original_length(c);
    c->max_position_embeddings = length;
    if (fabs(rope_magnitude(c) - magnitude) > 1e-9)
        s->attention_factor = magnitude;
}
