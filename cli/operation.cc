// Operations: what goes on, and how it ended.
#include <ostream>

#include "cli/command.h"
#include "cli/operation_wait.h"

namespace berth::cli {
namespace {

using google::longrunning::Operation;

void Print(const Invocation& call, const std::vector<Operation>& operations) {
  Table table({"NAME", "OPERATION"});
  for (const Operation& operation : operations) {
    if (call.format == OutputFormat::kName) call.out << operation.name() << '\n';
    table.Add({operation.name(), Describe(operation)});
  }
  if (call.format == OutputFormat::kTable) table.Print(call.out);
}

Status RunList(const Invocation& call) {
  google::longrunning::ListOperationsRequest request;
  google::longrunning::ListOperationsResponse all;
  TRY(call.connection.EachPage(&Operations::Stub::ListOperations, request, [&](const auto& page) {
    all.mutable_operations()->MergeFrom(page.operations());
  }));
  Print(call, {all.operations().begin(), all.operations().end()});
  PrintMessage(call.out, call.format, all);
  return Ok();
}

Result<Operation> Get(const Invocation& call) {
  google::longrunning::GetOperationRequest request;
  request.set_name(call.arguments[0].starts_with("operations/") ? call.arguments[0]
                                                                : "operations/" + call.arguments[0]);
  return call.connection.Call(&Operations::Stub::GetOperation, request);
}

Status RunShow(const Invocation& call) {
  const Operation operation = TRY(Get(call));
  Print(call, {operation});
  PrintMessage(call.out, call.format, operation);
  return Ok();
}

Status RunWait(const Invocation& call) { return AwaitOperation(call, TRY(Get(call))); }

Status RunCancel(const Invocation& call) {
  google::longrunning::CancelOperationRequest request;
  request.set_name(TRY(Get(call)).name());
  TRY(call.connection.Call(&Operations::Stub::CancelOperation, request));
  return Ok();
}

}  // namespace

const Command kOperationList = {
    .words = "operation list", .summary = "List operations, the newest first", .run = RunList};
const Command kOperationShow = {.words = "operation show",
                                .arguments = {"OPERATION"},
                                .required = 1,
                                .summary = "Show an operation",
                                .run = RunShow};
const Command kOperationWait = {.words = "operation wait",
                                .arguments = {"OPERATION"},
                                .required = 1,
                                .summary = "Wait until an operation is done, and fail as it fails",
                                .run = RunWait};
const Command kOperationCancel = {.words = "operation cancel",
                                  .arguments = {"OPERATION"},
                                  .required = 1,
                                  .summary = "Ask an operation to stop, and undo what it has done",
                                  .run = RunCancel};

}  // namespace berth::cli
