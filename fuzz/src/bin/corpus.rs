//! `corpus unpack TARGET DIRECTORY` writes what is kept for a target as files; `corpus pack TARGET DIRECTORY` keeps what
//! the files hold. For `scripts/fuzz`, as libFuzzer wants a file for each input.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use sluice_fuzz::corpus;

fn unpack(target: &str, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (at, input) in corpus::read(target)?.into_iter().enumerate() {
        std::fs::write(directory.join(format!("kept-{at}")), input)?;
    }
    Ok(())
}

fn pack(target: &str, directory: &Path) -> io::Result<()> {
    let files = std::fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let inputs = files.iter().map(|file| std::fs::read(file.path())).collect::<io::Result<_>>()?;
    corpus::write(target, inputs)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["unpack", target, directory] => unpack(target, Path::new(directory)),
        ["pack", target, directory] => pack(target, Path::new(directory)),
        _ => Err(io::Error::other("say unpack or pack, a target and a directory")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corpus: {error}");
            ExitCode::FAILURE
        }
    }
}
