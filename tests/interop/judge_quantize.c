/* A file that linnet quantised against what llama.cpp's own library makes of the same model: the type and every bit
 * of every tensor, and general.file_type.
 *
 *     judge_quantize LIBRARIES MODEL.gguf OURS.gguf [IMATRIX | pure]
 *
 * LIBRARIES is the folder of libllama and libggml. The mix is the one that OURS says it is; pure: all matrices of its one type. llama.cpp's file is
 * written beside OURS and removed. Exit 0: the same; 1: they differ; 2: the comparison could not be made. */
#include "base/file.h"
#include "base/memory.h"
#include "formats/gguf.h"
#include "qat/imatrix.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* llama.h: struct llama_model_quantize_params and llama_model_imatrix_data. */
struct parameters {
    int32_t n_threads, file_type, output_type, embedding_type;
    bool requantize, quantize_output, only_copy, pure, keep_split, dry_run;
    const void *imatrix, *overrides, *tensor_types, *prune_layers;
};
struct llama_entry {
    const char *name;
    const float *data;
    size_t size;
};

/* The first library of the folder whose name begins so, with its symbols for all. */
static void *load(const char *folder, const char *prefix)
{
    void *library = NULL;
    DIR *d = opendir(folder);
    for (struct dirent *entry; d && !library && (entry = readdir(d));)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && strstr(entry->d_name, ".so")) {
            char *path = path_join(folder, entry->d_name);
            library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
            if (!library)
                fprintf(stderr, "%s\n", dlerror());
            mem_free(path);
        }
    if (d)
        closedir(d);
    return library;
}

static void be_quiet(int level, const char *text, void *context)
{
    (void)context;
    if (level >= 4)
        fputs(text, stderr);
}

static int quantize(void *llama, const char *from, const char *to, int file_type, bool pure,
                    const struct imatrix *im)
{
    struct parameters (*defaults)(void);
    uint32_t (*run)(const char *, const char *, const struct parameters *);
    void (*set_log)(void (*)(int, const char *, void *), void *);
    *(void **)&defaults = dlsym(llama, "llama_model_quantize_default_params");
    *(void **)&run = dlsym(llama, "llama_model_quantize");
    *(void **)&set_log = dlsym(llama, "llama_log_set");
    if (!defaults || !run || !set_log)
        return 2;
    set_log(be_quiet, NULL);
    struct parameters p = defaults();
    struct llama_entry *entries = mem_zero(im->n_entries + 1, sizeof *entries);
    for (size_t i = 0; i < im->n_entries; i++)
        entries[i] = (struct llama_entry){im->entries[i].name, im->entries[i].values, im->entries[i].n};
    p.n_threads = 1;
    p.file_type = file_type;
    p.pure = pure;
    p.imatrix = im->n_entries ? entries : NULL;
    int code = run(from, to, &p) ? 2 : 0;
    mem_free(entries);
    return code;
}

static int compare(const struct gguf *ours, const struct gguf *theirs)
{
    size_t differ = 0, n_quantised = 0;
    if (ours->n_tensors != theirs->n_tensors)
        return printf("%zu tensors, llama.cpp has %zu\n", ours->n_tensors, theirs->n_tensors), 1;
    for (size_t i = 0; i < ours->n_tensors; i++) {
        const struct gguf_tensor *t = &ours->tensors[i];
        char *name = mem_string_n(t->name.data, t->name.size);
        const struct gguf_tensor *other = gguf_find_tensor(theirs, name);
        const char *why = !other ? "is not in llama.cpp's file" : t->type != other->type ? "has another type"
                          : memcmp(t->data, other->data, t->n_bytes) != 0 ? "has other bits" : NULL;
        if (why && differ++ < 10)
            printf("%s %s (%s, llama.cpp: %s)\n", name, why, dtype_info(t->type)->name,
                   other ? dtype_info(other->type)->name : "none");
        n_quantised += dtype_info(t->type)->block > 1;
        mem_free(name);
    }
    printf("%zu tensors, %zu quantised, %zu differ\n", ours->n_tensors, n_quantised, differ);
    return differ ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct error e = {0};
    struct gguf ours = {0}, theirs = {0};
    struct imatrix im = {0};
    size_t file_type = 0;
    if (argc != 4 && argc != 5)
        return fprintf(stderr, "usage: judge_quantize LIBRARIES MODEL.gguf OURS.gguf [IMATRIX | pure]\n"), 2;
    bool pure = argc == 5 && strcmp(argv[4], "pure") == 0;
    char *path = mem_printf("%s.llama", argv[3]);
    int code = 2;
    void *llama = load(argv[1], "libggml-base") && load(argv[1], "libggml.") ? load(argv[1], "libllama.") : NULL;
    if (llama && !gguf_open(argv[3], &ours, &e) && !gguf_get_size(&ours, "general.file_type", &file_type, &e) &&
        (argc == 4 || pure || !imatrix_read(argv[4], &im, &e)))
        code = quantize(llama, argv[2], path, (int)file_type, pure, &im);
    if (!code)
        code = gguf_open(path, &theirs, &e) ? 2 : compare(&ours, &theirs);
    if (code == 2)
        fprintf(stderr, "judge_quantize: %s\n", e.message);
    unlink(path);
    gguf_close(&ours), gguf_close(&theirs);
    imatrix_free(&im);
    mem_free(path);
    return code;
}
