#include "server/operation/operation_runner.h"

#include <future>

#include <gtest/gtest.h>

#include "berth/v1/guest.pb.h"
#include "berth/v1/operation_metadata.pb.h"
#include "proto/error_details.h"

namespace berth::server {
namespace {

using std::chrono::minutes;
using Work = Result<std::unique_ptr<google::protobuf::Message>>;

class OperationRunnerTest : public testing::Test {
 protected:
  std::unique_ptr<Database> database_ = *Database::Open(":memory:");
  OperationTable table_{*database_};
  OperationRunner runner_{table_};
  const OperationRequest request_{.verb = "create", .target = "guests/web"};
};

TEST_F(OperationRunnerTest, ASuccessCarriesItsResponse) {
  const Operation started = *runner_.Start(request_, [](OperationProgress&) -> Work {
    auto guest = std::make_unique<v1::Guest>();
    guest->set_name("guests/web");
    return guest;
  });
  EXPECT_FALSE(started.done());
  const Operation done = *runner_.Wait(started.name(), minutes(1));
  v1::Guest guest;
  ASSERT_TRUE(done.response().UnpackTo(&guest));
  EXPECT_EQ(guest.name(), "guests/web");
  v1::OperationMetadata metadata;
  ASSERT_TRUE(done.metadata().UnpackTo(&metadata));
  EXPECT_EQ(metadata.target(), "guests/web");
}

TEST_F(OperationRunnerTest, AFailureCarriesItsError) {
  const Operation started = *runner_.Start(request_, [](OperationProgress&) -> Work {
    return Fail(Error(Code::kNotFound, "no").Reason("NOT_THERE"));
  });
  const Operation done = *runner_.Wait(started.name(), minutes(1));
  EXPECT_EQ(FromRpcStatus(done.error()).reason(), "NOT_THERE");
}

TEST_F(OperationRunnerTest, TellsHowFarItIs) {
  std::promise<void> go_on, reported;
  const Operation started = *runner_.Start(request_, [&](OperationProgress& progress) -> Work {
    progress.Report("bind", 2, 5);
    reported.set_value();
    go_on.get_future().wait();
    return std::make_unique<v1::Guest>();
  });
  reported.get_future().wait();
  v1::OperationMetadata metadata;
  ASSERT_TRUE(runner_.Get(started.name())->metadata().UnpackTo(&metadata));
  EXPECT_EQ(metadata.step(), "bind");
  EXPECT_EQ(metadata.steps_done(), 2);
  EXPECT_FALSE(runner_.Wait(started.name(), std::chrono::milliseconds(1))->done());
  go_on.set_value();
  EXPECT_TRUE(runner_.Wait(started.name(), minutes(1))->done());
}

TEST_F(OperationRunnerTest, IsToldToEnd) {
  const Operation started = *runner_.Start(request_, [&](OperationProgress& progress) -> Work {
    while (!progress.cancelled()) std::this_thread::yield();
    return Fail(Error(Code::kCancelled, "as you wish"));
  });
  ASSERT_TRUE(runner_.Cancel(started.name()));
  EXPECT_EQ(runner_.Wait(started.name(), minutes(1))->error().code(), 1);
  EXPECT_EQ(runner_.Cancel("operations/x").error().reason(), "OPERATION_NOT_FOUND");
}

TEST_F(OperationRunnerTest, OneRequestIdIsOneOperation) {
  const OperationRequest request{
      .verb = "create", .target = "guests/web", .request_id = "6f1f1c1e-7f3f-4e1a-9d53-0a4f4a3f7c11"};
  EXPECT_FALSE(runner_.Find(request)->has_value());
  const auto work = [](OperationProgress&) -> Work { return std::make_unique<v1::Guest>(); };
  const Operation started = *runner_.Start(request, work);
  EXPECT_EQ((*runner_.Find(request))->name(), started.name());
  EXPECT_EQ(runner_.Start(request, work).error().code(), Code::kAlreadyExists);
  OperationRequest other = request;
  other.verb = "delete";
  EXPECT_EQ(runner_.Find(other).error().reason(), "REQUEST_ID_REUSED");
}

TEST_F(OperationRunnerTest, ThereAreOnlySoManyAtOnce) {
  std::promise<void> go_on;
  std::shared_future<void> gone_on = go_on.get_future().share();
  int started = 0;
  while (true) {
    const auto operation = runner_.Start(request_, [gone_on](OperationProgress&) -> Work {
      gone_on.wait();
      return std::make_unique<v1::Guest>();
    });
    if (!operation) {
      EXPECT_EQ(operation.error().reason(), "TOO_MANY_OPERATIONS");
      break;
    }
    ASSERT_LT(++started, 1000);
  }
  go_on.set_value();
}

TEST_F(OperationRunnerTest, ShutdownWaitsAndRefusesMore) {
  std::atomic<bool> ended{false};
  ASSERT_TRUE(runner_.Start(request_, [&](OperationProgress& progress) -> Work {
    while (!progress.cancelled()) std::this_thread::yield();
    ended = true;
    return Fail(Error(Code::kCancelled, "ended"));
  }));
  runner_.Shutdown();
  EXPECT_TRUE(ended);
  EXPECT_EQ(runner_.Start(request_, nullptr).error().reason(), "SHUTTING_DOWN");
  EXPECT_FALSE(runner_.Background([] {}));
}

TEST_F(OperationRunnerTest, WhatAnEarlierDaemonDidNotFinishIsAborted) {
  StoredOperation stored{.create_time_us = 1};
  stored.operation.set_name("operations/old");
  ASSERT_TRUE(table_.Insert(stored));
  ASSERT_TRUE(AbortUnfinished(table_));
  EXPECT_EQ(FromRpcStatus(runner_.Get("operations/old")->error()).reason(), "DAEMON_RESTARTED");
}

}  // namespace
}  // namespace berth::server
