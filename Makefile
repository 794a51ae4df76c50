# linnet. `make help` lists the targets.

BUILD   ?= build
CC      ?= gcc
OPT     ?= -O2
CFLAGS  ?= $(OPT) -g
WARN    := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Werror=incompatible-pointer-types -Werror=implicit-function-declaration
PREFIX  ?= /usr/local

# In dependency order: a folder includes only from itself and from folders before it.
FOLDERS := base kernels formats tokenizer chat grammar data model optim lora qat train distill align infer serve \
           export cli

REQUIRED := hdf5-serial jansson yaml-0.1 libpcre2-8 libutf8proc zlib
CPPFLAGS += -I. -D_GNU_SOURCE

# pkg-config is asked only when something is built, so that `make help` and `make deps` work on a
# bare system.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell pkg-config --cflags $(REQUIRED)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $(shell pkg-config --libs $(REQUIRED)))$(PKG_LIBS)
# The OpenMP build of OpenBLAS shares its threads with ours; others would oversubscribe the cores.
BLAS_DIR   = $(eval BLAS_DIR := $(firstword $(wildcard /usr/lib/*/openblas-openmp)))$(BLAS_DIR)
BLAS_FLAGS = $(eval BLAS_FLAGS := $(if $(BLAS_DIR),-I$(subst /usr/lib,/usr/include,$(BLAS_DIR)),$(shell pkg-config --cflags openblas)))$(BLAS_FLAGS)
BLAS_LIBS  = $(eval BLAS_LIBS := $(if $(BLAS_DIR),-L$(BLAS_DIR) -Wl$(comma)-rpath$(comma)$(BLAS_DIR) -lopenblas,$(shell pkg-config --libs openblas)))$(BLAS_LIBS)
comma := ,
# Optional: oneDNN, for products in bf16 on processors that are fast at it. `make DNNL=` builds without it.
DNNL       ?= $(wildcard /usr/include/dnnl.h /usr/include/*/dnnl.h)
DNNL_FLAGS = $(if $(DNNL),-DLINNET_DNNL)
DNNL_LIBS  = $(if $(DNNL),-ldnnl)
# Optional: libmicrohttpd, for `linnet serve`. `make MHD=` builds without it.
MHD        ?= $(wildcard /usr/include/microhttpd.h /usr/include/*/microhttpd.h)
MHD_FLAGS  = $(if $(MHD),-DLINNET_MHD)
MHD_LIBS   = $(if $(MHD),-lmicrohttpd)

# Optional: libedit, for lines that are typed at a terminal. `make EDIT=` builds without it.
EDIT       ?= $(wildcard /usr/include/histedit.h)
EDIT_FLAGS = $(if $(EDIT),-DLINNET_EDIT)
EDIT_LIBS  = $(if $(EDIT),-ledit)

ALL_CFLAGS = -std=c11 -fopenmp $(WARN) $(CFLAGS) $(FILE_FLAGS) $(PKG_CFLAGS) $(BLAS_FLAGS) $(DNNL_FLAGS) $(MHD_FLAGS) $(EDIT_FLAGS)
ALL_LIBS   = $(BLAS_LIBS) $(DNNL_LIBS) $(MHD_LIBS) $(PKG_LIBS) -lm

SOURCES := $(sort $(foreach d,$(FOLDERS),$(wildcard $(d)/*.c)))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
LIBRARY := $(BUILD)/liblinnet.a
TESTS   := $(sort $(wildcard tests/*/test_*.c))
TEST_BINARIES := $(TESTS:%.c=$(BUILD)/%)
FUZZERS := $(sort $(wildcard tests/fuzz/fuzz_*.c))

# Lines and functions (-g1) are what a sanitizer prints; the places of variables take the compiler longer to find
# than anything else does.
SANITIZED = BUILD=build/asan \
  CFLAGS="-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

.PHONY: all test check quickstart deps layers format asan asan-linnet fuzz interop bench docs install clean help

all: deps ## build ./build/linnet
	@$(MAKE) --no-print-directory -j$(shell nproc) $(BUILD)/linnet

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

deps: ## install the missing Debian or Ubuntu packages
	@tools/deps.sh

test: deps ## build and run every test
	@$(MAKE) --no-print-directory -j$(shell nproc) $(BUILD)/linnet $(TEST_BINARIES)
	@LINNET=$(BUILD)/linnet tools/run-tests.sh $(BUILD) $(TEST_BINARIES)

quickstart: all ## corpus, tokenizer, five minutes of training, a GGUF and a story
	@LINNET=$(BUILD)/linnet tools/quickstart.sh

layers: ## check that no folder includes from a later one
	@tools/layers.sh $(FOLDERS)

format: ## rewrite all sources with clang-format
	@clang-format -i $$(git ls-files '*.c' '*.h')

asan: deps ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory test $(SANITIZED)

# The sanitized binary alone, which `make interop` serves with.
asan-linnet: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) build/asan/linnet $(SANITIZED)

fuzz: deps ## fuzz every parser for FUZZ_SECONDS each (needs clang)
	@FOLDERS="$(FOLDERS)" tools/fuzz.sh $(or $(FUZZ_SECONDS),60) $(FUZZERS)

interop: all ## hold our files against llama.cpp and Hugging Face tokenizers (needs node and npm)
	@LINNET=$(BUILD)/linnet tools/interop.sh

bench: all ## speed side by side with PyTorch where it is installed
	@LINNET=$(BUILD)/linnet bench/run.sh

docs: all ## regenerate the generated parts of docs/
	@$(BUILD)/linnet help --configuration > docs/configuration.md

install: all ## into PREFIX (default /usr/local)
	install -D -m 755 $(BUILD)/linnet $(DESTDIR)$(PREFIX)/bin/linnet

clean: ## remove everything that was built
	rm -rf build

$(LIBRARY): $(filter-out $(BUILD)/cli/%,$(OBJECTS))
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/linnet: $(OBJECTS)
	@$(CC) $(ALL_CFLAGS) $^ -o $@ $(ALL_LIBS) $(EDIT_LIBS)
	@echo "  built $@"

$(BUILD)/tests/%: tests/%.c $(LIBRARY)
	@mkdir -p $(dir $@)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -MF $@.d $< $(LIBRARY) -o $@ $(ALL_LIBS) -lcmocka

# The page is a part of the binary.
$(BUILD)/serve/chat_page.o: serve/chat_page.html

# Kernels are where the time goes; variants for one instruction set carry it in their name and are
# called only after a check of the processor. FILE_FLAGS stays apart from CFLAGS, which a caller may
# set on the command line.
$(BUILD)/kernels/%.o: FILE_FLAGS += $(KERNEL_OPT)
# Under the sanitizers the products, half of what tests wait for, are worth -O2, and the most unrolled files take GCC six times as
# long at -O1 as at -Og.
SANITIZED_OPT = $(if $(findstring /table_,$@),-O2,$(if $(findstring /quantized_,$@),-Og,-O1))
KERNEL_OPT = $(if $(findstring -fsanitize,$(CFLAGS)),$(SANITIZED_OPT),-O3) -fno-math-errno -ffp-contract=off
ifneq ($(filter x86_64 amd64,$(shell uname -m)),)
%_avx2.o: FILE_FLAGS += -mavx2 -mfma -mf16c
%_avx512.o: FILE_FLAGS += -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c \
                          -mprefer-vector-width=512
%_avx512vnni.o: FILE_FLAGS += -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx2 -mfma \
                              -mf16c -mprefer-vector-width=512
%_avx512bf16.o: FILE_FLAGS += -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mavx2 -mfma \
                              -mf16c -mprefer-vector-width=512
endif

$(BUILD)/%.o: %.c
	@mkdir -p $(dir $@)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

-include $(OBJECTS:.o=.d) $(TEST_BINARIES:=.d) $(wildcard $(BUILD)/tests/interop/*.d)
