# berth_precompile(): with BERTH_PCH, precompiles the headers that most sources include, once for libraries and once for
# tests (position-independent code of two kinds).
function(berth_precompile)
  if(NOT BERTH_PCH)
    return()
  endif()
  # Without a time stamp in it, ccache knows it again. All must agree about -pthread, which protobuf asks for.
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp" -pthread)
  set(headers <algorithm> <array> <atomic> <chrono> <condition_variable> <cstdint> <deque> <functional> <map> <memory>
    <mutex> <optional> <set> <span> <string> <string_view> <thread> <unordered_map> <vector> <fmt/format.h>
    <google/protobuf/descriptor.pb.h> <google/protobuf/generated_message_reflection.h> <grpcpp/grpcpp.h>
    <tl/expected.hpp>)
  file(WRITE ${CMAKE_BINARY_DIR}/gen/pch.cc "int main() {}\n")
  add_library(berth_pch OBJECT ${CMAKE_BINARY_DIR}/gen/pch.cc)
  target_precompile_headers(berth_pch PRIVATE ${headers})
  add_executable(berth_pch_test ${CMAKE_BINARY_DIR}/gen/pch.cc)
  target_precompile_headers(berth_pch_test PRIVATE ${headers} <gmock/gmock.h> <gtest/gtest.h>)
  foreach(target berth_pch berth_pch_test)
    target_link_libraries(${target} PRIVATE berth_options fmt::fmt-header-only tl::expected Threads::Threads)
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/gen)
  endforeach()
  target_link_libraries(berth_pch_test PRIVATE GTest::gmock)
endfunction()

# berth_in_groups(TARGET SOURCE...): with BERTH_GROUPS, the compiler reads several of the target's sources as one. Groups
# are made when CMake runs, as scripts/build always has it do: a name that is defined twice since then shows as that.
function(berth_in_groups target)
  if(NOT BERTH_GROUPS)
    return()
  endif()
  execute_process(COMMAND ${PYTHON3} ${CMAKE_SOURCE_DIR}/tools/source_groups.py ${ARGN}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE lines COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]+" lines "${lines}")
  foreach(line IN LISTS lines)
    separate_arguments(line)
    list(GET line 0 group)
    list(GET line 1 source)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${target}_${group})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()

# berth_library(NAME SOURCES a.cc b.cc [LINK berth_base ...] [TRACE]): one room as a static library. LINK is the room's
# list of what it may include. TRACE: the room has a `trace-events` file; its events are in "ROOM/trace.h".
function(berth_library name)
  cmake_parse_arguments(arg "TRACE" "" "SOURCES;LINK" ${ARGN})
  if(arg_SOURCES)
    add_library(${name} STATIC ${arg_SOURCES})
    target_link_libraries(${name} PUBLIC berth_options ${arg_LINK})
    berth_in_groups(${name} ${arg_SOURCES})
    if(BERTH_PCH)
      target_precompile_headers(${name} REUSE_FROM berth_pch)
    endif()
    set(visibility PUBLIC)
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE berth_options ${arg_LINK})
    set(visibility INTERFACE)
  endif()
  if(arg_TRACE)
    file(RELATIVE_PATH room ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
    set(header ${CMAKE_BINARY_DIR}/gen/${room}/trace.h)
    set(source ${CMAKE_BINARY_DIR}/gen/${room}/trace.cc)
    add_custom_command(OUTPUT ${header} ${source}
      COMMAND ${PYTHON3} ${CMAKE_SOURCE_DIR}/tools/trace-gen ${room} ${CMAKE_CURRENT_SOURCE_DIR}/trace-events ${header} ${source}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/trace-events ${CMAKE_SOURCE_DIR}/tools/trace-gen VERBATIM)
    target_sources(${name} PRIVATE ${header} ${source})
  endif()
endfunction()

# berth_program(NAME SOURCES main.cc LINK ...): an executable in bin/.
function(berth_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE berth_options ${arg_LINK})
endfunction()

# berth_test(NAME SOURCES x_test.cc LINK ...): one GoogleTest binary, run by ctest as one test. The target `tests` builds
# them all.
add_custom_target(tests)
function(berth_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE berth_options ${arg_LINK} GTest::gmock_main)
  berth_in_groups(${name} ${arg_SOURCES})
  if(BERTH_PCH)
    target_precompile_headers(${name} REUSE_FROM berth_pch_test)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests
    INTERPROCEDURAL_OPTIMIZATION OFF)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300)
  add_dependencies(tests ${name})
endfunction()

# berth_lab_test(NAME SOURCES x_test.cc LINK ...): a GoogleTest binary for the lab host, where it finds real devices and
# is root: `scripts/test lab` runs each in one process, in the source directory. Not a test of ctest.
add_custom_target(lab_tests)
function(berth_lab_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE berth_options ${arg_LINK} GTest::gmock_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lab
    INTERPROCEDURAL_OPTIMIZATION OFF)
  add_dependencies(lab_tests ${name})
endfunction()

# berth_fuzzer(NAME SOURCES x_fuzz.cc LINK ...): a libFuzzer target with BERTH_FUZZ; without, the same code as a test that
# runs it over a fixed number of pseudo-random inputs, or over the files it is given. Its seeds, if it has any, are the
# files in tests/fuzz/corpus/NAME.
add_custom_target(fuzzers)
function(berth_fuzzer name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  if(BERTH_FUZZ)
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE berth_options ${arg_LINK})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
    add_dependencies(fuzzers ${name})
  else()
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE berth_options fuzz_replay ${arg_LINK})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests
      INTERPROCEDURAL_OPTIMIZATION OFF)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 300)
    add_dependencies(tests ${name})
  endif()
endfunction()
