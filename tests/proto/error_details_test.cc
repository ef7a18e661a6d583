#include "proto/error_details.h"

#include <gmock/gmock.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/error_info.pb.h"

namespace berth {
namespace {

template <typename Detail>
std::vector<Detail> DetailsOf(const google::rpc::Status& status) {
  std::vector<Detail> found;
  for (const auto& any : status.details()) {
    Detail detail;
    if (any.UnpackTo(&detail)) found.push_back(detail);
  }
  return found;
}

TEST(ErrorDetails, EveryErrorHasAnErrorInfo) {
  const auto status = ToRpcStatus(Error(Code::kInternal, "it broke"));
  const auto infos = DetailsOf<google::rpc::ErrorInfo>(status);
  ASSERT_EQ(infos.size(), 1u);
  EXPECT_EQ(infos[0].reason(), "INTERNAL");
  EXPECT_EQ(infos[0].domain(), "berth.dev");
  EXPECT_EQ(status.code(), 13);
  EXPECT_EQ(status.message(), "it broke");
}

TEST(ErrorDetails, AFieldAtFaultIsABadRequest) {
  const auto status = ToRpcStatus(
      Error(Code::kInvalidArgument, "too many").Reason("BAD_VCPU_COUNT").Field("guest.spec.cpus.vcpu_count"));
  const auto requests = DetailsOf<google::rpc::BadRequest>(status);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].field_violations(0).field(), "guest.spec.cpus.vcpu_count");
  EXPECT_EQ(requests[0].field_violations(0).description(), "too many");
}

TEST(ErrorDetails, AResourceInTheWayIsNamedWithItsOwner) {
  const auto status = ToRpcStatus(Error(Code::kFailedPrecondition, "in use")
                                      .Reason("DEVICE_IN_USE")
                                      .With("resource", "host/devices/pci-0000-01-00-0")
                                      .With("owner", "guests/a"));
  const auto resources = DetailsOf<google::rpc::ResourceInfo>(status);
  ASSERT_EQ(resources.size(), 1u);
  EXPECT_EQ(resources[0].resource_type(), "berth.dev/HostDevice");
  EXPECT_EQ(resources[0].owner(), "guests/a");
  const auto failures = DetailsOf<google::rpc::PreconditionFailure>(status);
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].violations(0).type(), "DEVICE_IN_USE");
  EXPECT_EQ(failures[0].violations(0).subject(), "host/devices/pci-0000-01-00-0");
}

TEST(ErrorDetails, ComeBackAsTheyWere) {
  const Error error =
      Error(Code::kNotFound, "no such device").Reason("DEVICE_NOT_FOUND").With("device", "x").Field("a.b");
  const Error back = FromRpcStatus(ToRpcStatus(error));
  EXPECT_EQ(back.code(), error.code());
  EXPECT_EQ(back.message(), error.message());
  EXPECT_EQ(back.reason(), error.reason());
  EXPECT_EQ(back.metadata(), error.metadata());
  EXPECT_EQ(back.field(), error.field());
}

TEST(ErrorDetails, StayWithinAHeaderHoweverLongTheTextIs) {
  Error error(Code::kFailedPrecondition, std::string(100'000, 'x'));
  for (int i = 0; i < 100; ++i)
    error = std::move(error).With("key" + std::to_string(i), std::string(1000, 'v'));
  error = std::move(error).Field(std::string(1000, 'f')).With("resource", std::string(1000, 'r'));
  const auto status = ToRpcStatus(error);
  EXPECT_LT(status.message().size() + status.ByteSizeLong() * 4 / 3, 8192u - 512);
}

TEST(Printable, ReplacesWhatATerminalOrAParserWouldTrip) {
  EXPECT_EQ(Printable("plain \xc3\xa9", 100), "plain \xc3\xa9");
  EXPECT_EQ(Printable("\x1b[31m\x07\n", 100), "?[31m??");
  EXPECT_EQ(Printable("\xff\xc0\xaf\xed\xa0\x80", 100), "??????");
  EXPECT_EQ(Printable("\xc2\x9b", 100), "??") << "CSI as a C1 control";
  EXPECT_EQ(Printable("abc\xc3\xa9", 4), "abc") << "no half characters";
  EXPECT_EQ(Printable("\xe2\x82", 100), "??") << "cut off";
}

}  // namespace
}  // namespace berth
