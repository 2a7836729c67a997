"""Pairs of texts, the first easier than the second, which a complexity score must rank. It was not fitted on them."""

ENGLISH = [
    ("Hi!", "Prove that √2 is irrational"),
    ("Good evening", "Prove Fermat's little theorem."),
    ("See you tomorrow", "Show, by induction, that 2^n > n for every natural n"),
    ("What is the capital of Peru?", "Derive the formula for the volume of a sphere by integration."),
    (
        "Who painted the Mona Lisa?",
        "Compare the causes of the First and the Second World War and evaluate which mattered most.",
    ),
    ("When was Google founded?", "Design a caching layer for a search engine and justify every tradeoff."),
    (
        "How do you spell accommodate?",
        "Why does binary search fail on a linked list, and what is its complexity there?",
    ),
    ("What's the time in Tokyo?", "Implement a thread-safe bounded queue in Java and analyze its deadlocks."),
    (
        "Translate 'see you soon' into German",
        "Refactor this class to be thread-safe and explain the race conditions you removed.",
    ),
    (
        "What does 'ephemeral' mean?",
        "Analyze the ending of Hamlet and critique two opposing interpretations in detail.",
    ),
    (
        "Name a fruit that starts with M",
        "How many ways are there to arrange 8 rooks on a chessboard so that no two attack each other?",
    ),
    ("Tell me a joke", "Find all integer solutions of x^2 - 7y^2 = 1 and prove there are no others."),
    (
        "Which ocean is the deepest?",
        "A tank fills at 3 litres per minute and leaks 1/4 of its volume each hour; when does it hold 50 litres?",
    ),
    (
        "What is 12 + 5?",
        "Liam buys 4 shirts at $15 each and twice as many socks at $3, with 20% off. How much change has he from $100?",
    ),
    (
        "Sara has 2 cats and buys 1 more. How many cats?",
        "Sara sells 12 cakes a day at $7 each; flour costs $2 per cake, rent $150 a week. Her profit in 3 weeks?",
    ),
    ("What is the plural of mouse?", "Solve the differential equation y'' + 4y = sin(2x) with y(0) = 0."),
    ("Thanks, that's all", "Debug why this service leaks memory only under concurrent load and propose a fix."),
    (
        "Who is the author of Dune?",
        "Suppose all poets are dreamers and no dreamer is rich. Which conclusions are valid, and why?",
    ),
    ("Write a birthday wish for Tom", "Write a detailed technical design for migrating a monolith to microservices."),
    (
        "What is the boiling point of water?",
        "A 5 kg mass on a spring oscillates with a frequency of 2 Hz. Calculate the spring constant and the energy.",
    ),
    ("Convert 3 kg to pounds", "Derive the time complexity of quicksort in the average case."),
    (
        "Where is the Eiffel Tower?",
        "A landowner conveyed a deed to a buyer who did not record it. Who owns it? Analyze both claims in court.",
    ),
    ("What color is a banana?", "Evaluate the integral of 1/(1+x^4) from 0 to infinity."),
    ("List three mammals", "Implement Dijkstra's algorithm with a Fibonacci heap and prove its running time."),
    ("Yes, go ahead", "Design a schema and the queries for a multi-tenant ledger with strict consistency."),
    ("What's the weather in Rome?", "Optimize this SQL query over 3 joins and explain why the index is not used."),
    (
        "How old is the Queen's dog?",
        "Is the set of Turing machines that halt on every input decidable? Prove your answer.",
    ),
    (
        "What is a synonym of quick?",
        "Explain the difference between eventual and strong consistency with a counterexample for each.",
    ),
    (
        "Recommend a movie for tonight",
        "Estimate the number of piano tuners in Chicago step by step and state every assumption.",
    ),
    (
        "How do I turn on dark mode?",
        "Diagnose the deadlock in this stack trace and design a fix without a global lock.",
    ),
    ("fix the typo: recieve", "Formally derive Bayes' theorem and apply it to a test with 1% false positives."),
    (
        "Bye, talk later",
        "If the elasticity of demand is -2 and marginal cost is $6, what price maximizes the monopolist's profit?",
    ),
    ("What is the chemical symbol of gold?", "Calculate the pH of a 0.1 M solution of acetic acid with Ka = 1.8e-5."),
    (
        "What day is it today?",
        "Compute the determinant and the eigenvalues of a 3x3 matrix with rows 1 2 3, 0 1 4, 5 6 0.",
    ),
    ("hello\n\n\n\n\n\n\n\n", "Prove it by contradiction"),
]
CHINESE = [
    ("你好！", "证明根号2是无理数"),
    ("晚上好", "用数学归纳法证明2的n次方大于n"),
    ("秘鲁的首都是哪里？", "用积分推导球的体积公式"),
    ("蒙娜丽莎是谁画的？", "比较两次世界大战的原因，并评估哪个影响最大"),
    ("谷歌是哪年成立的？", "为搜索引擎设计缓存层，并论证每个权衡"),
    ("“鳄鱼”的拼音是什么？", "为什么二分查找不适用于链表？分析其复杂度"),
    ("东京现在几点？", "用Java实现线程安全的有界队列，并分析死锁"),
    ("把“回头见”翻译成德语", "重构这个类使其线程安全，并解释消除了哪些竞态"),
    ("“短暂”是什么意思？", "详细分析《哈姆雷特》的结局，并评价两种对立的观点"),
    ("讲个笑话吧", "求方程x^2-7y^2=1的所有整数解，并证明没有其他解"),
    ("哪个大洋最深？", "水池每分钟进水3升，每小时漏掉四分之一，已知初始为空，多少分钟后有50升？"),
    ("12加5等于几？", "小李买4件衬衫每件15元，又买两倍数量的袜子每双3元，一共打八折，付100元应找回多少？"),
    ("小莎有2只猫，又买1只，有几只？", "小莎每天卖12个蛋糕每个7元，每个成本2元，每周租金150元，3周一共利润多少？"),
    ("“快”的近义词", "求微分方程y''+4y=sin2x满足初值条件的解"),
    ("谢谢，没别的了", "排查这个服务为什么只在并发时泄漏，并给出优化方案"),
    ("《三体》的作者是谁？", "假设所有诗人都做梦，没有做梦的人富有，哪些结论成立？请推理"),
    ("给小王写句生日祝福", "撰写一份把单体迁移到微服务的详细设计方案"),
    ("水的沸点是多少？", "质量为5千克的物体挂在弹簧上，频率2赫兹，计算弹簧系数和能量"),
    ("3公斤是多少磅", "推导快速排序平均情况的时间复杂度"),
    ("香蕉是什么颜色？", "计算积分并证明级数收敛"),
    ("说出三种动物", "实现带堆优化的最短路径算法，并证明其复杂度"),
    ("好的，可以", "设计多租户账本的数据架构，要求一致性，并解释查询"),
    ("罗马天气怎么样？", "解释这条查询为什么不走索引，并优化"),
    ("推荐一部电影", "逐步估算芝加哥有多少钢琴调音师，说明每个假设"),
    ("怎么打开深色模式？", "诊断这段堆栈里的死锁，设计不用全局锁的修复方案"),
    ("改错别字：再接再励", "推导贝叶斯定理，并计算假阳性为百分之一时的概率"),
    ("拜拜，回头聊", "需求弹性为-2，边际成本为6元，垄断企业利润最大的价格是多少？"),
    ("金的元素符号是什么？", "计算0.1摩尔醋酸溶液的浓度与平衡常数"),
    ("今天星期几？", "求三阶矩阵的行列式和特征值，并分析是否可对角化"),
    ("謝謝你", "證明質數有無窮多個，並推導其分布"),
]
PASTED = (
    "the meating was moved to tusday becuase the ofice is closed and everyone agred to bring there own lunch and "
    "analyze the design of the new kitchen, then compare it with the strategy of last year. "
)
PASTED_ZH = "会议改到了周二，因为办公室关门，大家同意自带午饭，然后分析新厨房的设计，再和去年的方案比较。"
LONG_BUT_EASY = [
    "Fix typos in this text: " + 12 * PASTED,
    "Please proofread the following.\n\n" + 20 * PASTED,
    "Translate this to French:\n" + 8 * PASTED,
    8 * PASTED + "\n\nFix the spelling in the text above.",
    "请修改错别字：" + 12 * PASTED_ZH,
    "把下面的内容翻译成英文：" + 12 * PASTED_ZH,
    12 * PASTED_ZH + "\n请校对以上文字",
]
