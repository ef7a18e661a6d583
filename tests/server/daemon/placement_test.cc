// What becomes of a guest's place while others come and go.
#include "tests/server/daemon/daemon_fixture.h"

namespace berth::server {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::Not;

class PlacementTest : public DaemonFixture {
 protected:
  v1::CreateGuestRequest Running(const std::string& id, int vcpus, v1::PlacementSpec::CpuPolicy policy) {
    v1::CreateGuestRequest request = Guest(id);
    request.mutable_guest()->mutable_spec()->mutable_cpus()->set_vcpu_count(vcpus);
    v1::PlacementSpec* placement = request.mutable_guest()->mutable_spec()->mutable_placement();
    placement->set_cpu_policy(policy);
    placement->add_host_nodes(0);
    request.set_start(true);
    return request;
  }
};

TEST_F(PlacementTest, WhoSharesLeavesCpusThatAreDedicatedAndGetsThemBack) {
  const auto shared = Create(Running("shared", 2, v1::PlacementSpec::SHARED));
  ASSERT_TRUE(shared) << shared.error().message();
  EXPECT_THAT(shared->placement().vcpus(1).host_cpus(), ElementsAre(0, 1, 2, 3));

  const auto dedicated = Create(Running("dedicated", 2, v1::PlacementSpec::DEDICATED));
  ASSERT_TRUE(dedicated) << dedicated.error().message();
  const int first = dedicated->placement().vcpus(0).host_cpus(0);
  const int second = dedicated->placement().vcpus(1).host_cpus(0);
  const v1::Guest moved = *Get("guests/shared");
  EXPECT_EQ(moved.placement().vcpus(0).host_cpus_size(), 2);
  EXPECT_THAT(moved.placement().vcpus(0).host_cpus(), Each(AllOf(Not(first), Not(second))));
  EXPECT_THAT(moved.placement().emulator_cpus(), Each(AllOf(Not(first), Not(second))));
  EXPECT_THAT(moved.placement().io_cpus(), Each(AllOf(Not(first), Not(second))));

  ASSERT_TRUE(Delete("guests/dedicated", true));
  EXPECT_THAT(Get("guests/shared")->placement().vcpus(0).host_cpus(), ElementsAre(0, 1, 2, 3));
}

TEST_F(PlacementTest, AGuestThatIsNotWhereItWasPutSaysSo) {
  host_->Misplace({"thread 7 (vcpu0) may run on CPUs 0-3, not 2"});
  const auto guest = Create(Running("web", 1, v1::PlacementSpec::DEDICATED));
  ASSERT_TRUE(guest) << guest.error().message();
  EXPECT_THAT(guest->placement().mismatches(), ElementsAre("thread 7 (vcpu0) may run on CPUs 0-3, not 2"));
  EXPECT_EQ(guest->placement().mismatch_count(), 1);
}

TEST_F(PlacementTest, AGuestIsNotKeptApartFromItself) {
  v1::CreateGuestRequest request = Guest("web");
  request.mutable_guest()->mutable_spec()->mutable_placement()->add_apart_from("guests/web");
  EXPECT_EQ(Create(request).error().field(), "guest.spec.placement.apart_from");
}

TEST_F(PlacementTest, GuestsAreKeptApartWhicheverComesFirst) {
  ASSERT_TRUE(Create(Running("a", 1, v1::PlacementSpec::SHARED)));
  v1::CreateGuestRequest apart = Running("b", 1, v1::PlacementSpec::SHARED);
  apart.mutable_guest()->mutable_spec()->mutable_placement()->add_apart_from("guests/a");
  EXPECT_EQ(Create(apart).error().reason(), "GUESTS_NOT_APART");
  apart.mutable_guest()->mutable_spec()->mutable_placement()->clear_host_nodes();
  ASSERT_TRUE(Create(apart));
  v1::CreateGuestRequest late = Running("c", 1, v1::PlacementSpec::SHARED);
  late.mutable_guest()->mutable_spec()->mutable_placement()->set_host_nodes(0, 1);
  late.mutable_guest()->mutable_spec()->mutable_placement()->add_apart_from("guests/b");
  EXPECT_EQ(Create(late).error().reason(), "GUESTS_NOT_APART");
}

TEST_F(PlacementTest, AdviceSaysWhoCouldMoveAndMovesNothing) {
  v1::CreateGuestRequest own = Running("own", 4, v1::PlacementSpec::DEDICATED);
  own.mutable_guest()->mutable_spec()->mutable_placement()->clear_host_nodes();
  const auto there = Create(own);
  ASSERT_TRUE(there) << there.error().message();
  const int node = there->placement().memory(0).host_nodes(0);

  v1::AdvisePlacementRequest request;
  request.mutable_guest()->set_name("guests/new");
  *request.mutable_guest()->mutable_spec() = own.guest().spec();
  const auto ask = [&] {
    grpc::ClientContext context;
    v1::AdvisePlacementResponse response;
    const grpc::Status status = guests_->AdvisePlacement(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  };
  EXPECT_EQ(ask().placement().memory(0).host_nodes(0), 1 - node);
  request.mutable_guest()->mutable_spec()->mutable_placement()->add_host_nodes(node);
  const v1::AdvisePlacementResponse advice = ask();
  EXPECT_FALSE(advice.has_placement());
  EXPECT_FALSE(advice.refusal().message().empty());
  ASSERT_EQ(advice.moves_size(), 1);
  EXPECT_EQ(advice.moves(0).guest(), "guests/own");
  EXPECT_EQ(advice.moves(0).placement().memory(0).host_nodes(0), 1 - node);
  EXPECT_EQ(advice.moves(0).room().memory(0).host_nodes(0), node);
  EXPECT_EQ(Get("guests/own")->placement().memory(0).host_nodes(0), node);
  EXPECT_FALSE(Get("guests/new"));
}

TEST_F(PlacementTest, AGuestsPolicyIsCheckedTogetherWithTheHosts) {
  v1::CreateGuestRequest request = Guest("web");
  request.mutable_guest()->mutable_spec()->mutable_resource_policy()->set_cpu_reservation_percent(80);
  request.mutable_guest()->mutable_spec()->mutable_resource_policy()->set_cpu_limit_percent(50);
  EXPECT_EQ(Create(request).error().field(), "guest.spec.resource_policy.cpu_limit_percent");
}

}  // namespace
}  // namespace berth::server
