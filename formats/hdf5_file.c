#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/hdf5_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What HDF5 first complained about, in its words, or the system's reason behind it. */
static herr_t innermost(unsigned n, const H5E_error2_t *entry, void *text)
{
    if (n == 0 && entry->desc)
        snprintf(text, 512, "%s", entry->desc);
    return 0;
}

static int format_hdf5_error(const struct hdf5_file *f, struct error *e, const char *what,
                             va_list args)
{
    char why[512] = "no reason given", place[512];
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, why);
    enum error_code code = ERR_FORMAT;
    const char *number = strstr(why, "errno = ");
    if (number) {
        snprintf(why, sizeof why, "%s", strerror(atoi(number + 8)));
        code = ERR_IO;
    }
    vsnprintf(place, sizeof place, what, args);
    return error_set(e, code, "%s: %s: %s", f->path, place, why);
}

int hdf5_error(const struct hdf5_file *f, struct error *e, const char *what, ...)
{
    va_list args;
    va_start(args, what);
    int code = format_hdf5_error(f, e, what, args);
    va_end(args);
    return code;
}

int hdf5_write_error(struct hdf5_file *f, struct error *e, const char *what, ...)
{
    if (!hdf5_writable(f, e)) {
        va_list args;
        va_start(args, what);
        format_hdf5_error(f, &f->failure, what, args);
        va_end(args);
    }
    return hdf5_writable(f, e);
}

int hdf5_writable(struct hdf5_file *f, struct error *e)
{
    CHECK(f->temporary);
    if (!f->failure.code && f->write_errno)
        error_set(&f->failure, ERR_IO, "%s: cannot write: %s", f->path, strerror(f->write_errno));
    if (f->failure.code && e)
        *e = f->failure;
    return f->failure.code;
}

static struct hdf5_file *new_file(const char *path)
{
    /* The library prints its error stack on stderr unless told otherwise. */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    struct hdf5_file *f = mem_zero(1, sizeof *f);
    f->id = H5I_INVALID_HID;
    f->path = mem_string(path);
    return f;
}

static void free_file(struct hdf5_file *f)
{
    if (f->temporary)
        unlink(f->temporary);
    mem_free(f->temporary);
    mem_free(f->path);
    mem_free(f);
}

/* Every object starts at a multiple of 64 so that mapped data is aligned for any type. STRONG:
 * closing the file closes whatever is still open in it. */
static hid_t access_properties(void)
{
    hid_t p = H5Pcreate(H5P_FILE_ACCESS);
    CHECK(p >= 0 && H5Pset_alignment(p, 1, 64) >= 0 &&
          H5Pset_fclose_degree(p, H5F_CLOSE_STRONG) >= 0);
    return p;
}

int hdf5_create(const char *path, struct hdf5_file **file, struct error *e)
{
    *file = NULL;
    int refused = file_check_target(path, e);
    if (refused)
        return refused;
    struct hdf5_file *f = new_file(path);
    f->temporary = file_temporary(path);
    hid_t creation = H5Pcreate(H5P_FILE_CREATE), access = access_properties();
    CHECK(creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0);
    hdf5_use_driver(access, &f->write_errno);
    errno = 0;
    f->id = H5Fcreate(f->temporary, H5F_ACC_TRUNC, creation, access);
    int reason = errno, code = OK;
    if (f->id < 0 && reason)
        code = error_set(e, ERR_IO, "%s: cannot create: %s", path, strerror(reason));
    else if (f->id < 0)
        code = hdf5_error(f, e, "cannot create");
    H5Pclose(access);
    H5Pclose(creation);
    if (code)
        free_file(f);
    *file = code ? NULL : f;
    return code;
}

int hdf5_open(const char *path, struct hdf5_file **file, struct error *e)
{
    *file = NULL;
    struct file_map map;
    /* Directories, missing permissions and the like get a clear word from file_map. */
    int code = file_map(path, &map, e);
    if (code)
        return code;
    size_t size = map.size;
    file_unmap(&map);
    struct hdf5_file *f = new_file(path);
    f->size = size;
    hid_t access = access_properties();
    if (H5Fis_hdf5(path) == 0) {
        code = error_set(e, ERR_FORMAT, "%s: not an HDF5 file", path);
    } else if (!hdf5_survives(path)) {
        code = error_set(e, ERR_FORMAT,
                         "%s: this HDF5 file is damaged; take another copy, or make it anew", path);
    } else {
        f->id = H5Fopen(path, H5F_ACC_RDONLY, access);
        if (f->id < 0)
            code = hdf5_error(f, e, "cannot open this HDF5 file, it is damaged or cut short");
    }
    H5Pclose(access);
    if (code)
        free_file(f);
    else
        *file = f;
    return code;
}

static void discard(struct hdf5_file *f)
{
    if (!f->write_errno)
        f->write_errno = ECANCELED;
    H5Fclose(f->id);
    free_file(f);
}

int hdf5_commit(struct hdf5_file *f, struct error *e)
{
    int code = hdf5_writable(f, e);
    if (!code && H5Fflush(f->id, H5F_SCOPE_GLOBAL) < 0)
        code = hdf5_write_error(f, e, "cannot write");
    if (!code)
        code = hdf5_writable(f, e);
    if (code) {
        discard(f);
        return code;
    }
    if (H5Fclose(f->id) < 0)
        code = hdf5_error(f, e, "cannot close");
    if (!code)
        code = hdf5_writable(f, e);
    if (!code)
        code = file_replace(f->temporary, f->path, e);
    if (!code) {
        mem_free(f->temporary);
        f->temporary = NULL;
    }
    free_file(f);
    return code;
}

void hdf5_close(struct hdf5_file *f)
{
    if (!f)
        return;
    if (f->temporary) {
        discard(f);
        return;
    }
    H5Fclose(f->id);
    free_file(f);
}

/* One scalar attribute of the root group, replacing any earlier one. */
static int put_attribute(struct hdf5_file *f, const char *name, hid_t stored, hid_t memory,
                         const void *value, struct error *e)
{
    int code = hdf5_writable(f, e);
    if (code)
        return code;
    if (H5Aexists(f->id, name) > 0)
        H5Adelete(f->id, name);
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t a = H5Acreate2(f->id, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
    if (a < 0 || H5Awrite(a, memory, value) < 0)
        code = hdf5_write_error(f, e, "attribute \"%s\": cannot write", name);
    if (a >= 0 && H5Aclose(a) < 0 && !code)
        code = hdf5_write_error(f, e, "attribute \"%s\": cannot write", name);
    H5Sclose(space);
    return code;
}

/* Strings are stored with variable length in UTF-8: what h5py reads as str, and not bound by the
 * 64 KB of other attributes. */
int hdf5_put_string(struct hdf5_file *f, const char *name, const char *value, struct error *e)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    CHECK(H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0);
    int code = put_attribute(f, name, type, type, &value, e);
    H5Tclose(type);
    return code;
}

int hdf5_put_u64(struct hdf5_file *f, const char *name, uint64_t value, struct error *e)
{
    return put_attribute(f, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, &value, e);
}

int hdf5_put_f64(struct hdf5_file *f, const char *name, double value, struct error *e)
{
    return put_attribute(f, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value, e);
}

bool hdf5_has_attribute(struct hdf5_file *f, const char *name)
{
    return H5Aexists(f->id, name) > 0;
}

/* Opens a scalar attribute (an array of one counts) and its type. */
static int open_attribute(struct hdf5_file *f, const char *name, hid_t *attribute, hid_t *type,
                          struct error *e)
{
    if (H5Aexists(f->id, name) <= 0)
        return error_set(e, ERR_FORMAT, "%s: attribute \"%s\" is missing", f->path, name);
    *attribute = H5Aopen(f->id, name, H5P_DEFAULT);
    if (*attribute < 0)
        return hdf5_error(f, e, "attribute \"%s\": cannot open", name);
    *type = H5Aget_type(*attribute);
    hid_t space = H5Aget_space(*attribute);
    hssize_t n = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    H5Sclose(space);
    if (*type >= 0 && n == 1)
        return OK;
    H5Tclose(*type);
    H5Aclose(*attribute);
    return error_set(e, ERR_FORMAT, "%s: attribute \"%s\" must hold a single value", f->path, name);
}

/* A string attribute's value into memory of our own; h5py writes either kind. */
static char *read_string(hid_t attribute, hid_t type)
{
    hid_t memory = H5Tcopy(H5T_C_S1);
    char *value = NULL;
    H5Tset_cset(memory, H5Tget_cset(type));
    if (H5Tis_variable_str(type) > 0) {
        H5Tset_size(memory, H5T_VARIABLE);
        char *text = NULL;
        if (H5Aread(attribute, memory, &text) >= 0)
            value = mem_string(text ? text : "");
        H5free_memory(text);
    } else if (H5Tget_size(type) <= H5Aget_storage_size(attribute)) {
        size_t size = H5Tget_size(type) + 1;
        H5Tset_size(memory, size);
        value = mem_zero(size, 1);
        if (H5Aread(attribute, memory, value) < 0) {
            mem_free(value);
            value = NULL;
        }
    }
    H5Tclose(memory);
    return value;
}

int hdf5_get_string(struct hdf5_file *f, const char *name, char **value, struct error *e)
{
    hid_t attribute, type;
    int code = open_attribute(f, name, &attribute, &type, e);
    if (code)
        return code;
    if (H5Tget_class(type) != H5T_STRING) {
        code = error_set(e, ERR_FORMAT, "%s: attribute \"%s\" must be a string", f->path, name);
    } else {
        char *text = read_string(attribute, type);
        if (text)
            *value = text;
        else
            code = hdf5_error(f, e, "attribute \"%s\": cannot read", name);
    }
    H5Tclose(type);
    H5Aclose(attribute);
    return code;
}

int hdf5_get_u64(struct hdf5_file *f, const char *name, uint64_t *value, struct error *e)
{
    hid_t attribute, type;
    int code = open_attribute(f, name, &attribute, &type, e);
    if (code)
        return code;
    uint64_t v = 0;
    if (H5Tget_class(type) != H5T_INTEGER) {
        code =
            error_set(e, ERR_FORMAT, "%s: attribute \"%s\" must be a whole number", f->path, name);
    } else if (H5Tget_sign(type) != H5T_SGN_NONE) {
        int64_t s = 0;
        if (H5Aread(attribute, H5T_NATIVE_INT64, &s) < 0)
            code = hdf5_error(f, e, "attribute \"%s\": cannot read", name);
        else if (s < 0)
            code = error_set(e, ERR_FORMAT, "%s: attribute \"%s\" must not be negative", f->path,
                             name);
        v = (uint64_t)s;
    } else if (H5Aread(attribute, H5T_NATIVE_UINT64, &v) < 0) {
        code = hdf5_error(f, e, "attribute \"%s\": cannot read", name);
    }
    if (!code)
        *value = v;
    H5Tclose(type);
    H5Aclose(attribute);
    return code;
}

int hdf5_get_f64(struct hdf5_file *f, const char *name, double *value, struct error *e)
{
    hid_t attribute, type;
    int code = open_attribute(f, name, &attribute, &type, e);
    if (code)
        return code;
    double v = 0;
    if (H5Tget_class(type) != H5T_FLOAT && H5Tget_class(type) != H5T_INTEGER)
        code = error_set(e, ERR_FORMAT, "%s: attribute \"%s\" must be a number", f->path, name);
    else if (H5Aread(attribute, H5T_NATIVE_DOUBLE, &v) < 0)
        code = hdf5_error(f, e, "attribute \"%s\": cannot read", name);
    if (!code)
        *value = v;
    H5Tclose(type);
    H5Aclose(attribute);
    return code;
}
