/* Folders that tests make and take away again. */
#ifndef LINNET_TESTS_FOLDER_H
#define LINNET_TESTS_FOLDER_H

#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

/* Everything in the folder, and the folder. */
static void remove_files(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        char *file = path_join(path, entry->d_name);
        if (entry->d_name[0] != '.' && file_is_directory(file))
            remove_files(file);
        else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlink(file);
        mem_free(file);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

#endif
