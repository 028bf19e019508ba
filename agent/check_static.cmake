# SPDX-License-Identifier: Apache-2.0
# cmake -DNM=nm -DPROGRAM=bivouac-agent -P check_static.cmake
# Static glibc would load the guest's own libraries for names, hosts and services (NSS): nothing that does so may be linked.
# What the event library refers to stands in no_nss.c and does nothing. (dlopen itself is part of any static glibc, for character sets.)
execute_process(COMMAND ${NM} ${PROGRAM} OUTPUT_VARIABLE symbols RESULT_VARIABLE failed)
if(failed)
    message(FATAL_ERROR "cannot read the symbols of ${PROGRAM}")
endif()
string(REGEX MATCHALL
    " [TtWw] (getpw(nam|uid|ent)[a-z_]*|getgr(nam|gid|ent)[a-z_]*|getgrouplist|getspnam[a-z_]*|initgroups|gethostby[a-z_0-9]*|getprotobyname[a-z_]*|getnetby[a-z_]*|__nss_[a-z_]+|nss_[a-z_]+|_nss_[a-z_]+|SSL_[a-zA-Z_]+|iconv_open|EVP_[a-zA-Z_]+|CRYPTO_[a-zA-Z_]+)\n"
    bad "${symbols}")
if(bad)
    list(REMOVE_DUPLICATES bad)
    string(REPLACE "\n" "" bad "${bad}")
    message(FATAL_ERROR "bivouac-agent must not contain: ${bad}")
endif()
string(REGEX MATCH " [TtWw] __libc_start_main" start "${symbols}")
if(NOT start)
    message(FATAL_ERROR "${PROGRAM} is not linked statically")
endif()
