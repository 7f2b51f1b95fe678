//! Which rank this process is, of how many: as it is told, else as what started it says. This file must not
//! know what a rank does.
//!
//! Whoever is closest to the process is asked first: `mpirun` within a batch job of Slurm leaves both sets of
//! variables, and Slurm's are then those of the processes that Open MPI runs its own daemons in.

use crate::error::{Failure, usage};
use crate::record::share::Share;

/// Our own variables, for launchers that have none.
const OWN_RANK: &str = "TARE_RANK";
const OWN_WORLD: &str = "TARE_WORLD";

/// What starts processes together, and how it tells them who they are.
struct Launcher {
    name: &'static str,
    rank: &'static str,
    /// The first that is there counts.
    worlds: &'static [&'static str],
    /// Without this one the others tell of the job, not of this process.
    needs: Option<&'static str>,
}

/// In the order in which they are asked.
const LAUNCHERS: [Launcher; 6] = [
    Launcher { name: "the environment", rank: OWN_RANK, worlds: &[OWN_WORLD], needs: None },
    Launcher {
        name: "Open MPI",
        rank: "OMPI_COMM_WORLD_RANK",
        worlds: &["OMPI_COMM_WORLD_SIZE"],
        needs: None,
    },
    Launcher { name: "PMI", rank: "PMI_RANK", worlds: &["PMI_SIZE"], needs: None },
    // PMIx itself hands the size to programs that link it; Slurm's step has it too.
    Launcher { name: "PMIx", rank: "PMIX_RANK", worlds: &[OWN_WORLD, "SLURM_STEP_NUM_TASKS"], needs: None },
    // The shell of a batch job is a single process, though it knows how many tasks the job may start.
    Launcher {
        name: "Slurm",
        rank: "SLURM_PROCID",
        worlds: &["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
        needs: Some("SLURM_STEP_ID"),
    },
    // An indexed Job does not tell its size.
    Launcher { name: "Kubernetes", rank: "JOB_COMPLETION_INDEX", worlds: &[OWN_WORLD], needs: None },
];

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// `None`: this process sends the whole load.
    pub share: Option<Share>,
    /// By what that is known.
    pub from: String,
    /// What looks like several processes, and is not taken for that.
    pub warning: Option<String>,
}

/// Who this process is. `rank` and `world` are the flags.
pub fn find(
    rank: Option<u32>,
    world: Option<u32>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Found, Failure> {
    let mut warning = None;
    let mut told: Option<(u32, u32, String)> = None;
    let own_world = number(OWN_WORLD, env)?;
    for launcher in LAUNCHERS {
        let Some(its) = number(launcher.rank, env)? else { continue };
        let mut sizes = launcher.worlds.iter().map(|name| Ok((*name, number(name, env)?)));
        let size = sizes.find_map(|found: Result<_, Failure>| match found {
            Ok((name, Some(n))) => Some(Ok((name, n))),
            Ok((_, None)) => None,
            Err(error) => Some(Err(error)),
        });
        let size = size.transpose()?;
        if let Some(needed) = launcher.needs.filter(|name| env(name).is_none()) {
            warning = size.filter(|(_, n)| *n > 1).map(|(name, n)| {
                format!(
                    "{name} is {n}, but without {needed} this is the shell of a batch job, one process: it sends the whole load; `srun tare run …` starts {n} ranks"
                )
            });
            continue;
        }
        let Some((name, size)) = size.or(world.map(|n| ("--world", n))) else {
            warning = Some(format!(
                "{} is there ({}), but nothing says of how many: this process sends the whole load, as each of the others does; {OWN_WORLD} or --world says it",
                launcher.rank, launcher.name
            ));
            continue;
        };
        told = Some((its, size, format!("{} and {name} ({})", launcher.rank, launcher.name)));
        break;
    }
    let (found_rank, found_world, from) = match (rank, world, told) {
        (Some(rank), Some(world), _) => (rank, world, "--rank and --world".to_owned()),
        (None, Some(1), _) => (0, 1, "--world".to_owned()),
        (None, Some(world), Some((rank, _, from))) => (rank, world, format!("{from}, --world")),
        (Some(rank), None, Some((_, world, from))) => (rank, world, format!("--rank, {from}")),
        (Some(rank), None, None) if own_world.is_some() => {
            (rank, own_world.unwrap_or_default(), format!("--rank and {OWN_WORLD}"))
        }
        (None, None, Some(told)) => told,
        (Some(_), None, None) => {
            return Err(usage("--rank is given, and nothing says of how many").hint("add --world N"));
        }
        (None, Some(_), None) => {
            return Err(usage("--world is given, and nothing says which of them this is")
                .hint("add --rank R, from 0, or start by srun, mpirun or an indexed Job, which say it"));
        }
        (None, None, None) => return Ok(Found { warning, ..Found::default() }),
    };
    if found_world == 0 || found_rank >= found_world {
        return Err(usage(format!(
            "expected a rank below the number of ranks, found rank {found_rank} of {found_world} ({from})"
        ))
        .hint("ranks count from 0"));
    }
    let share = Share { rank: found_rank, world: found_world };
    Ok(Found { share: (!share.is_whole()).then_some(share), from, warning: None })
}

fn number(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<u32>, Failure> {
    let Some(text) = env(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let read = text.trim().parse().map(Some);
    read.map_err(|_| {
        usage(format!("expected a number in {name}, found `{text}`"))
            .hint("--rank and --world say it instead")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn found(flags: (Option<u32>, Option<u32>), env: &[(&str, &str)]) -> Result<Found, Failure> {
        let env = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        find(flags.0, flags.1, &env)
    }

    fn share(env: &[(&str, &str)]) -> Option<(u32, u32)> {
        found((None, None), env).unwrap().share.map(|share| (share.rank, share.world))
    }

    #[test]
    fn every_launcher_is_understood() {
        assert_eq!(share(&[]), None);
        assert_eq!(share(&[("TARE_RANK", "2"), ("TARE_WORLD", "3")]), Some((2, 3)));
        assert_eq!(share(&[("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "4")]), Some((1, 4)));
        assert_eq!(share(&[("PMI_RANK", "3"), ("PMI_SIZE", "4")]), Some((3, 4)));
        assert_eq!(share(&[("PMIX_RANK", "3"), ("TARE_WORLD", "5")]), Some((3, 5)));
        let step = [("SLURM_PROCID", "1"), ("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "2")];
        assert_eq!(share(&step), Some((1, 2)));
        assert_eq!(share(&[("JOB_COMPLETION_INDEX", "1"), ("TARE_WORLD", "2")]), Some((1, 2)));
        assert_eq!(share(&[("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "1")]), None, "alone");
    }

    /// As it is in the shell that `sbatch -n 4` runs, and in what `mpirun` starts from there.
    #[test]
    fn the_shell_of_a_batch_job_is_one_process() {
        let shell = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4"), ("SLURM_JOB_ID", "7")];
        let one = found((None, None), &shell).unwrap();
        assert_eq!(one.share, None);
        assert!(one.warning.unwrap().contains("`srun tare run …` starts 4 ranks"));
        let mpi = [&shell[..], &[("OMPI_COMM_WORLD_RANK", "2"), ("OMPI_COMM_WORLD_SIZE", "3")]].concat();
        assert_eq!(share(&mpi), Some((2, 3)));
        assert_eq!(found((None, None), &mpi).unwrap().warning, None);
    }

    #[test]
    fn flags_come_first_and_what_is_lacking_is_said() {
        let mpi = [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "4")];
        let flags = found((Some(0), Some(2)), &mpi).unwrap();
        assert_eq!(
            (flags.share, flags.from.as_str()),
            (Some(Share { rank: 0, world: 2 }), "--rank and --world")
        );
        assert_eq!(found((None, Some(1)), &mpi).unwrap().share, None, "each task on its own");
        assert_eq!(found((None, Some(2)), &mpi).unwrap().share, Some(Share { rank: 1, world: 2 }));
        let lacking =
            [(Some(1), None), (None, Some(3))].map(|flags| found(flags, &[]).unwrap_err().to_string());
        assert_eq!(
            lacking,
            [
                "--rank is given, and nothing says of how many",
                "--world is given, and nothing says which of them this is"
            ]
        );
        let beyond = found((Some(2), Some(2)), &[]).unwrap_err().to_string();
        assert!(beyond.contains("found rank 2 of 2"), "{beyond}");
        let no_number = found((None, None), &[("PMI_RANK", "x")]).unwrap_err().to_string();
        assert_eq!(no_number, "expected a number in PMI_RANK, found `x`");
        let index = found((None, None), &[("JOB_COMPLETION_INDEX", "1")]).unwrap();
        assert!(index.share.is_none() && index.warning.unwrap().contains("TARE_WORLD"));
    }
}
