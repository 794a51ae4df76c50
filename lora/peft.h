/* adapter_config.json as PEFT writes it. Private to lora/. */
#ifndef LINNET_LORA_PEFT_H
#define LINNET_LORA_PEFT_H

#include "base/json.h"
#include "tokenizer/regex.h"

struct peft_pattern {
    struct regex *regex;
    double value;
};
struct peft_patterns {
    size_t count;
    struct peft_pattern *items;
};

struct peft_config {
    double rank, alpha;
    bool magnitudes;        /* DoRA */
    double dropout;
    bool rank_stabilised;   /* the scale is alpha / sqrt(rank) (Kalajdzievski, 2023), else alpha / rank */
    struct peft_patterns ranks, alphas; /* of the modules that have others */
    struct regex_scratch *scratch;
};

/* A pattern for modules, as PEFT matches them: of the name's end from a dot on; "^" at its beginning: of all of it. With
 * `loose`: of the name's end wherever that begins, as in modules_to_save. */
int peft_pattern_compile(const char *pattern, bool loose, struct regex **r, struct error *e);
bool peft_pattern_matches(const struct regex *r, struct regex_scratch *scratch, const char *module);

/* ERR_FORMAT names the key: malformed, or of a kind of adapter that is more than y += scale B A x. Free in any case. */
int peft_config_read(const json_t *root, struct peft_config *c, struct error *e);
void peft_config_free(struct peft_config *c);

/* Of a module such as "model.layers.0.self_attn.q_proj", of this rank in the file: ERR_FORMAT when the configuration
 * says another. */
int peft_config_scale(const struct peft_config *c, const char *module, size_t rank, double *scale, struct error *e);

#endif
