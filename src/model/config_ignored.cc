// Keys of slurm.conf(5) (22.05) that a site's file may hold and that have no meaning here.
#include "model/config_keys.h"

namespace bai {

const std::vector<std::string_view>& ignored_global_keys() {
  static const std::vector<std::string_view> keys = {
      "AccountingStorageBackupHost", "AccountingStorageEnforce", "AccountingStorageExternalHost",
      "AccountingStorageHost", "AccountingStorageLoc", "AccountingStorageParameters",
      "AccountingStoragePass", "AccountingStoragePort", "AccountingStorageTRES", "AccountingStorageType",
      "AccountingStorageUser", "AccountingStoreFlags", "AcctGatherEnergyType", "AcctGatherFilesystemType",
      "AcctGatherInterconnectType", "AcctGatherNodeFreq", "AcctGatherProfileType",
      "AllowSpecResourcesUsage", "AuthAltParameters", "AuthAltTypes", "AuthType", "BackupAddr",
      "BackupController", "BatchStartTimeout", "BcastExclude", "BcastParameters", "BurstBufferType",
      "CliFilterPlugins", "CommunicationParameters", "CompleteWait", "ControlAddr", "CoreSpecPlugin",
      "CpuFreqDef", "CpuFreqGovernors", "CredType", "DebugFlags", "DefCpuPerGPU", "DefMemPerGPU",
      "DependencyParameters", "DisableRootJobs", "DownNodes", "EioTimeout", "EnforcePartLimits", "Epilog",
      "EpilogMsgTime", "EpilogSlurmctld", "ExtSensorsFreq", "ExtSensorsType", "FairShareDampeningFactor",
      "FederationParameters", "FrontendName", "GetEnvTimeout", "GpuFreqDef", "GresTypes",
      "GroupUpdateForce", "GroupUpdateTime", "HealthCheckNodeState", "InactiveLimit",
      "InteractiveStepOptions", "JobAcctGatherFrequency", "JobAcctGatherParams", "JobAcctGatherType",
      "JobCompHost", "JobCompLoc", "JobCompParams", "JobCompPass", "JobCompPort", "JobCompType",
      "JobCompUser", "JobContainerType", "JobCredentialPrivateKey", "JobCredentialPublicCertificate",
      "JobDefaults", "JobFileAppend", "JobSubmitPlugins", "KillOnBadExit", "LaunchParameters", "LaunchType",
      "LogTimeFormat", "MailDomain", "MaxDBDMsgs", "MaxJobId", "MaxMemPerCPU", "MaxNodeCount",
      "MaxStepCount", "MaxTasksPerNode", "MCSParameters", "MCSPlugin", "MpiDefault", "MpiParams",
      "NodeFeaturesPlugins", "NodeSet", "OverTimeLimit", "PluginDir", "PlugStackConfig", "PowerParameters",
      "PowerPlugin", "PreemptExemptTime", "PreemptMode", "PreemptType", "PrEpParameters", "PrEpPlugins",
      "PriorityCalcPeriod", "PriorityDecayHalfLife", "PriorityFavorSmall", "PriorityFlags",
      "PriorityMaxAge", "PriorityParameters", "PrioritySiteFactorParameters", "PrioritySiteFactorPlugin",
      "PriorityType", "PriorityUsageResetPeriod", "PriorityWeightAge", "PriorityWeightAssoc",
      "PriorityWeightFairshare", "PriorityWeightJobSize", "PriorityWeightPartition", "PriorityWeightQOS",
      "PriorityWeightTRES", "PrivateData", "ProctrackType", "Prolog", "PrologEpilogTimeout", "PrologFlags",
      "PrologSlurmctld", "PropagatePrioProcess", "PropagateResourceLimits", "PropagateResourceLimitsExcept",
      "RebootProgram", "ReconfigFlags", "RequeueExit", "RequeueExitHold", "ResumeFailProgram",
      "ResumeProgram", "ResumeRate", "ResumeTimeout", "ResvEpilog", "ResvOverRun", "ResvProlog",
      "RoutePlugin", "SchedulerTimeSlice", "SchedulerType", "ScronParameters", "SelectType",
      "SelectTypeParameters", "SlurmctldAddr", "SlurmctldParameters", "SlurmctldPlugstack",
      "SlurmctldPrimaryOffProg", "SlurmctldPrimaryOnProg", "SlurmctldSyslogDebug", "SlurmdParameters",
      "SlurmdPort", "SlurmdSyslogDebug", "SlurmdUser", "SlurmSchedLogFile", "SlurmSchedLogLevel",
      "SrunEpilog", "SrunPortRange", "SrunProlog", "SuspendExcNodes", "SuspendExcParts", "SuspendProgram",
      "SuspendRate", "SuspendTime", "SuspendTimeout", "SwitchParameters", "SwitchType", "TaskEpilog",
      "TaskPlugin", "TaskPluginParam", "TaskProlog", "TCPTimeout", "TmpFS", "TopologyParam",
      "TopologyPlugin", "TrackWCKey", "TreeWidth", "UnkillableStepProgram", "UnkillableStepTimeout",
      "UsePAM", "VSizeFactor", "WaitTime", "X11Parameters",
  };
  return keys;
}

const std::vector<std::string_view>& ignored_node_keys() {
  static const std::vector<std::string_view> keys = {
      "BcastAddr", "CoreSpecCount", "CpuBind", "CpuSpecList", "Gres", "MemSpecLimit", "Port",
  };
  return keys;
}

const std::vector<std::string_view>& ignored_partition_keys() {
  static const std::vector<std::string_view> keys = {
      "AllocNodes", "AllowQos", "Alternate", "CpuBind", "DefCpuPerGPU", "DefMemPerGPU", "DenyQos",
      "DisableRootJobs", "GraceTime", "JobDefaults", "LLN", "MaxCPUsPerNode", "MaxCPUsPerSocket",
      "MaxMemPerCPU", "OverTimeLimit", "PowerDownOnIdle", "PreemptMode", "QOS", "ReqResv", "ResumeTimeout",
      "SuspendTime", "SuspendTimeout", "TRESBillingWeights",
  };
  return keys;
}

}  // namespace bai
