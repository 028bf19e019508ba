/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * template_build - makes the snapshot of one template: takes the image files into the store, boots the guest with its memory in a file,
 * waits for the agent, quiesces it, saves the device state, proves that all is complete, restores it once as a test, and only then the
 * template is ready. Nothing half done survives a crash: all of it happens in the store's temporary folder.
 */
#include "common/base/attr.h"

struct err;
struct template;
struct template_build;

/* r: 0, or -errno with the text. Called from the loop; the build is freed after it. */
typedef void template_built_fn(void *arg, int r, const struct err *e);
int template_build_start(struct template *t, template_built_fn *done, void *arg) must_check;
void template_build_drop(struct template_build *b); /* the process ends; NULL is fine */
