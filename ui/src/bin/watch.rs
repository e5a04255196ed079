//! The pages that watch and ask freely.

fn main() {
    ui::watch();
}
