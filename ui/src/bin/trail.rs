//! The page around requests.

fn main() {
    ui::trail();
}
