// Pools and volumes as they are printed.
#pragma once

#include <iosfwd>
#include <vector>

#include "berth/v1/volume.pb.h"
#include "cli/output.h"

namespace berth::cli {

// A line each; nothing for JSON and YAML.
void PrintVolumes(std::ostream& out, OutputFormat format, const std::vector<berth::v1::Volume>& volumes);
void PrintPools(std::ostream& out, OutputFormat format, const std::vector<berth::v1::Pool>& pools);

// QCOW2 if it is empty.
Result<berth::v1::Volume::Format> ParseVolumeFormat(const std::string& text);

}  // namespace berth::cli
