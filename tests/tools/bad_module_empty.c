/* SPDX-License-Identifier: Apache-2.0 */
/* A shared object that is no PKCS#11 module: it has no C_GetFunctionList. */
extern int bad_module_empty;

__attribute__((visibility("default"))) int bad_module_empty = 1;
