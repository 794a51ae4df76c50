/* Which type each matrix of a model is rounded to: a mix (qat/mix.h), and what is wished beside it. Quantisation after
 * training and training for quantisation ask here, so that both give the same matrices the same types. */
#ifndef LINNET_QAT_TYPES_H
#define LINNET_QAT_TYPES_H

#include "base/options.h"
#include "qat/imatrix.h"
#include "qat/mix.h"

enum { NO_TYPE = -1 };

/* PATTERN=TYPE: matrices in whose GGUF name the regular expression is found get the type, whatever the mix says. */
struct type_override {
    const char *pattern;
    enum dtype type;
    const char *where; /* "mix.types:12", for errors; NULL: a flag */
};

struct type_wishes {
    const struct mix *mix;
    bool pure;                   /* all matrices of the mix's usual type */
    int output_type;             /* enum dtype of output.weight, or NO_TYPE: as the mix says */
    int embedding_type;          /* of token_embd.weight, tied or not */
    const struct type_override *overrides; /* the first that is found in a name counts */
    size_t n_overrides;
    const struct imatrix *importance; /* NULL: none */
    const char *importance_name;      /* its file's name */
    const char *prefix;          /* of the flags that errors name: "--" of --tensor-type, which NULL stands for, "--qat-" */
};

/* As text, from flags or a configuration. */
struct type_request {
    char *type, *output_type, *embedding_type, *imatrix;
    struct option_strings tensor_types;
    bool pure;
};
/* Wishes with all that they point to. */
struct parsed_wishes {
    struct type_wishes wishes;
    struct type_override *overrides;
    size_t capacity;
    struct option_strings texts; /* patterns and places */
    struct imatrix importance;
};
/* `type_flag` names the flag of the mix, `prefix` is as in the wishes. A tensor type that begins with "@" is the path of a
 * file of them, which stand where it does. ERR_USAGE for what is no type or no mix, with the nearest one; errors of the
 * files. type_wishes_free in any case. */
int type_wishes_parse(const struct type_request *r, const char *type_flag, const char *prefix, struct parsed_wishes *p,
                      struct error *e);
void type_wishes_free(struct parsed_wishes *p);

/* Puts the lines of files of tensor types in the place of their names, so that the request means the same from every
 * directory and whatever becomes of the files. Errors of the files, which then stay named. */
int type_request_expand(struct type_request *r, struct error *e);

/* Appends the lines of a file of tensor types: PATTERN=TYPE, one a line, blanks around it dropped; empty lines and those
 * that begin with "#" count for nothing. `name` stands for the file in errors. ERR_USAGE with the line for what is none,
 * and for a file without any. */
int type_overrides_parse(const char *text, size_t n, const char *name, struct parsed_wishes *p, struct error *e);
enum { TYPE_FILE_LIMIT = 1 << 22 }; /* bytes */

/* Parses a type's name (q8_0, f16, ...) that matrices can be written in. ERR_USAGE with `flag` and the nearest. */
int quantize_type_parse(const char *flag, const char *name, enum dtype *type, struct error *e);

struct planned_type {
    enum dtype type;         /* f32 for vectors */
    const float *importance; /* of each column, (cols), (experts, cols) where the tensor has three dimensions; NULL: none */
};
struct type_plan {
    const struct type_wishes *wishes;
    const struct tensor_list *list; /* of CONTAINER_GGUF */
    struct planned_type *types;     /* one for each tensor of the list */
    struct mix_facts facts;
    size_t n_fallbacks, n_unweighed; /* matrices with another type than they should have; without importance */
    const char *first_fallback, *first_unweighed; /* names */
    enum dtype wanted, given;       /* of the first fallback */
};
/* Borrows all but what it fills. ERR_USAGE: an override that no matrix has in its name; ERR_FORMAT: an entry of the
 * importance matrix that no tensor of this model has, or whose size does not fit. type_plan_free in any case. */
int type_plan_init(struct type_plan *p, const struct model *m, const struct tensor_list *list, const struct type_wishes *w,
                   struct error *e);
void type_plan_free(struct type_plan *p);
/* What is out of the ordinary but works: columns that do not fit, matrices without importance. */
void type_plan_warn(const struct type_plan *p);

#endif
