# SPDX-License-Identifier: Apache-2.0
# Compiler flags and the four functions that every folder's CMakeLists.txt uses.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

add_library(biv_flags INTERFACE)
target_include_directories(biv_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(biv_flags INTERFACE _GNU_SOURCE BIVOUAC_VERSION="${PROJECT_VERSION}")
target_compile_options(biv_flags INTERFACE
    -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wpointer-arith -Wwrite-strings
    -Wformat=2 -Wundef -Werror -fno-strict-aliasing -fstack-protector-strong -fno-omit-frame-pointer -fno-common)
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    if(NOT BIV_SANITIZE)
        target_compile_definitions(biv_flags INTERFACE _FORTIFY_SOURCE=2)
    endif()
endif()
# assert() stays in every build.
foreach(type RELEASE RELWITHDEBINFO MINSIZEREL)
    string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_${type} "${CMAKE_C_FLAGS_${type}}")
endforeach()
if(BIV_SANITIZE)
    target_compile_options(biv_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined)
    target_link_options(biv_flags INTERFACE -fsanitize=address,undefined)
endif()
if(BIV_FUZZ)
    target_compile_options(biv_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# biv_library(name SOURCES a.c b.c LIBS biv_base ...): a static library of one folder with an explicit link list.
function(biv_library name)
    cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
    add_library(${name} STATIC ${A_SOURCES})
    target_link_libraries(${name} PUBLIC biv_flags ${A_LIBS})
endfunction()

# biv_program(name SOURCES main.c LIBS ...)
function(biv_program name)
    cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
    add_executable(${name} ${A_SOURCES})
    target_link_libraries(${name} PRIVATE biv_flags ${A_LIBS})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

# biv_unit_test(test_noun SOURCES test_noun.c LIBS biv_x): a cmocka program, run by ctest with the label "unit".
function(biv_unit_test name)
    cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
    add_executable(${name} ${A_SOURCES})
    target_link_libraries(${name} PRIVATE biv_flags ${A_LIBS} cmocka)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()

# biv_fuzz(fuzz_noun SOURCES fuzz_noun.c LIBS biv_x CORPUS dir): LLVMFuzzerTestOneInput; ctest (label "fuzz") replays the corpus.
function(biv_fuzz name)
    cmake_parse_arguments(A "" "CORPUS" "SOURCES;LIBS" ${ARGN})
    if(BIV_FUZZ)
        add_executable(${name} ${A_SOURCES})
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
        add_test(NAME ${name} COMMAND ${name} -runs=0 ${A_CORPUS})
    else()
        add_executable(${name} ${A_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
        add_test(NAME ${name} COMMAND ${name} ${A_CORPUS})
    endif()
    target_link_libraries(${name} PRIVATE biv_flags ${A_LIBS})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
    set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 300)
endfunction()
