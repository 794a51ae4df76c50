/* How the parameters of a model lie in a file of one of the two containers: most are a tensor of their
 * own; some share one (q, k and v in Phi-3's qkv_proj, all experts in a GGUF file), some are in parts
 * (the norm of each head in StableLM's Hugging Face files). A tensor is rows, one piece after another. */
#ifndef LINNET_MODEL_TENSORS_H
#define LINNET_MODEL_TENSORS_H

#include "model/model.h"

enum container { CONTAINER_HF, CONTAINER_GGUF };

/* Rows [row, row + rows) of a tensor are rows [param_row, ...) of a parameter. */
struct tensor_piece {
    struct param *param;
    size_t row, param_row, rows;
};

struct tensor {
    char name[PARAM_NAME_SIZE];
    int n_dims;
    size_t shape[3];    /* slowest-varying first */
    size_t rows, cols;  /* of all of it */
    const struct tensor_piece *pieces;
    size_t n_pieces;
    bool vector;        /* norms, biases and routers: f32 in every GGUF file */
    bool tied_head;     /* the output layer's own copy of the embedding */
    float offset;       /* the file's numbers are this much larger than the parameter's */
};

struct tensor_list {
    struct tensor *tensors; /* in the order of the parameter table */
    size_t n_tensors;
    struct tensor_piece *pieces;
    const struct tensor **by_name;
};

/* Every tensor of the model in that container. Where `head` is set, a tied output layer is one more. */
void tensor_list_init(struct tensor_list *list, const struct model *m, enum container container,
                      bool head);
void tensor_list_free(struct tensor_list *list);
const struct tensor *tensor_list_find(const struct tensor_list *list, const char *name); /* or NULL */

/* A parameter's row of one order of rotated components in the other: row `row` of queries or keys (or that
 * component of their bias) in order `to` is this row in order `from`. */
size_t rope_row(size_t row, size_t head_dim, enum rope_style from, enum rope_style to);
/* Whether the parameter's rows have such an order: queries, keys and their biases. */
bool param_is_rotated(const struct param *p);

/* What a file holds, as both containers say it. */
struct stored_tensor {
    const void *data;      /* at any address */
    enum dtype type;
    const char *type_name;
    bool supported;        /* type is one that can be converted to f32 */
    int n_dims;
    size_t shape[8];       /* slowest-varying first */
};
struct tensor_source {
    enum container container;
    const void *file;
    bool (*find)(const void *file, const char *name, struct stored_tensor *t);
    /* Names of all tensors; and whether one that no model has may be left out. */
    size_t (*count)(const void *file);
    const char *(*name)(const void *file, size_t i, char out[PARAM_NAME_SIZE]);
    bool (*may_skip)(const struct model *m, const char *name);
};

enum weights {
    WEIGHTS_F32,    /* in own memory, in Hugging Face's order: can be trained */
    WEIGHTS_MAPPED, /* matrices as they lie in the file: nothing is copied but norms and biases */
};

/* Whether what a file holds is of the tensor's shape and of a type that can be read: ERR_FORMAT says what is not so. */
int tensor_check(const struct tensor *t, const struct stored_tensor *s, struct error *e);
/* One piece of it into all of its parameter's `values` (rows, cols), in the model's order; `style` is the file's. */
void tensor_piece_read(const struct model *m, const struct tensor *t, const struct tensor_piece *piece,
                       const struct stored_tensor *s, enum rope_style style, float *values);

/* Fills the parameters of a model, of which model_init was called, from a file. Everything is checked before
 * memory is asked for: ERR_FORMAT names a tensor that is missing, of another shape, of a type that cannot be
 * read, or that the model does not have. `style`: the order of q and k in the file; with WEIGHTS_MAPPED it
 * becomes the model's. The file must stay open as long as the model where weights are mapped. */
int model_read_tensors(struct model *m, const struct tensor_source *source, enum rope_style style,
                       enum weights weights, struct error *e);

#endif
