"""The words `complexity_score` listens to, by what they say about a text. English words count in their `-s` form too,
Chinese ones are pairs of characters, simplified and, where they differ, often also traditional."""

from __future__ import annotations

from typing import Final

PROVING: Final = (
    """prove proof derive derivation theorem lemma corollary induction contradiction irrational counterexample
    rigorous rigorously formally conjecture paradox undecidable axiom completeness invariant bijection isomorphic""",
    """证明 推导 推理 论证 定理 引理 归纳 反证 悖论 反例 无理 公理 猜想 严格 證明 推導 論證 歸納 反證 無理 嚴格
    推論""",
)
ANALYSING: Final = (
    """why analyze analyse analysis explain compare contrast evaluate assess justify critique tradeoff pros infer
    deduce reasoning diagnose debug investigate optimize optimise optimal bottleneck examine simulate reconcile
    synthesize critically""",
    """为什 为何 分析 比较 对比 区别 评估 权衡 优缺 利弊 原理 推断 诊断 调试 排查 优化 剖析 探讨 论述 评价 阐述
    影响 根因 原因 为啥 预测 估算 瓶颈 為什 為何 比較 對比 區別 評估 權衡 優缺 診斷 調試 優化 闡述 評價 論述""",
)
BUILDING: Final = (
    """implement implementation design refactor develop architect architecture algorithm schema migrate migration
    prototype framework protocol compiler interpreter parser scheduler benchmark roadmap curriculum essay thesis
    whitepaper comprehensive detailed thorough constraint requirement distributed concurrent concurrency
    asynchronous deadlock consensus consistency sharding replication latency throughput scalable microservice
    kubernetes recursion recursive complexity asymptotic backtrace stacktrace""",
    """实现 设计 重构 编写 撰写 开发 搭建 构建 方案 策略 规划 论文 报告 架构 算法 复杂 详细 全面 约束 要求 步骤
    迁移 分布 并发 一致 共识 死锁 竞态 递归 动态 高可 容错 扩展 吞吐 线程 编译 解析 协议 框架 可用 性能 實現 設計
    重構 編寫 撰寫 開發 構建 規劃 論文 報告 架構 演算 複雜 詳細 約束 遷移 並發 遞迴 效能""",
)
CODING: Final = (
    """function class method variable array string pointer python java javascript typescript rust golang sql query
    regex code script program compile runtime exception loop stack queue binary tree graph hash node api server
    database thread process null boolean integer pseudocode postgres redis docker linux kernel traceback segfault""",
    """函数 代码 脚本 程序 变量 数组 指针 接口 数据 查询 正则 循环 队列 链表 二叉 哈希 线程 单元 报错 异常 函數
    代碼 程式 變數 陣列 資料 迴圈""",
)
MATHS: Final = (
    """equation inequality polynomial matrix matrices vector eigenvalue integral derivative differential limit
    converge convergence convergent divergent series sequence function continuous differentiable probability
    random distribution variance deviation expectation expected hypothesis regression coefficient estimator
    correlation sample significance logarithm exponent exponential root square cube prime integer divisor
    divisible modulo remainder factor multiple ring field subgroup abelian cyclic permutation homomorphism
    isomorphism group subset triangle circle radius angle perimeter rectangle polygon area volume graph slope
    linear quadratic real complex dimension determinant basis solve compute calculate evaluate simplify sum
    product difference fraction numerator denominator digit odd even positive negative nonnegative maximum minimum
    maximize minimize optimal combination arrangement dice coin formula expression equivalent proposition""",
    """方程 不等 多项 矩阵 向量 特征 积分 导数 微分 极限 收敛 级数 数列 函数 概率 随机 方差 期望 分布 假设 回归
    系数 对数 指数 平方 立方 质数 素数 整除 余数 因数 整数 分数 三角 圆形 半径 面积 体积 周长 斜率 线性 二次 几何
    代数 求解 计算 求出 求证 最大 最小 最值 排列 组合 骰子 硬币 公式 逻辑 命题 坐标 奇数 偶数 矩陣 積分 導數 極限
    收斂 級數 數列 函數 機率 質數 整數 計算 幾何 代數 邏輯 命題""",
)
PHYSICS: Final = (
    """velocity speed acceleration accelerate accelerated force mass energy momentum friction gravity
    gravitational torque charge charged voltage current resistor resistance capacitor circuit magnetic magnet
    electric electrical electron photon proton neutron nucleus atom atomic wavelength frequency amplitude quantum
    orbit collision spring pendulum joule newton watt kelvin pressure temperature heat entropy thermodynamic gas
    lens mirror light wave sound planet star moon sun kinetic potential density weight motion moving collide
    fission fusion radiation transistor amplifier impedance phase conductor semiconductor classifier gradient
    neural training clustering bayes bayesian overfitting processor instruction""",
    """速度 加速 质量 动量 能量 摩擦 重力 力矩 电荷 电压 电流 电阻 电容 电路 磁场 电场 电子 光子 波长 频率 量子
    碰撞 弹簧 压强 温度 热力 熵增 速率 斜面 滑块 物块 動量 電荷 電壓 電流 電阻 電路""",
)
LIFE: Final = (
    """molecule reaction acid base oxidation mole molar enthalpy bond ion solution concentration isotope compound
    hybridization gene genetic inheritance allele genotype chromosome heterozygous dominant recessive phenotype
    mutation dna rna meiosis mitosis enzyme protein nerve muscle artery""",
    """分子 反应 氧化 平衡 摩尔 浓度 同位 基因 等位 染色 遗传 突变 蛋白""",
)
FINANCE: Final = (
    """tax taxable income asset liability liabilities depreciation inventory revenue dividend bond audit auditor
    balance ledger accrual interest principal amortization cash equity share stock stockholder shareholder
    partnership demand supply elasticity marginal monopoly monopolist oligopoly competitive equilibrium inflation
    unemployment gdp deficit monetary fiscal tariff currency investment depreciate surplus wage curve price cost
    profit fund corporation reserve loan mortgage deduction""",
    """税率 所得 资产 负债 折旧 存货 收入 股息 债券 审计 利息 本金 现金 权益 股票 需求 供给 弹性 边际 垄断 均衡
    通胀 失业 赤字 货币 财政 成本 利润 贷款 汇率 会计 利率 稅率 資產 負債 利潤 貸款 會計""",
)
LAW: Final = (
    """plaintiff defendant court contract landowner jury statute negligence testimony evidence trial tort liable
    liability damages deed conveyed tenant landlord buyer seller sued sues lawsuit attorney counsel witness
    convicted charged murder robbery burglary felony prosecution prosecutor constitutional unconstitutional clause
    jurisdiction motion appeal judge judgment ordinance easement mortgagee trespass admissible hearsay breach
    offeror offeree homicide assault battery property owner""",
    """原告 被告 法院 合同 过失 侵权 赔偿 诉讼 证据 违约 判决 上诉 管辖 刑事 民事 条款 抗辩 房东 租客 起诉 法律
    訴訟 證據 違約 判決 合約""",
)
CASES: Final = (
    """patient physician hospital examination diagnosis symptom history blood serum pain fever treatment
    medication therapy biopsy chronic acute lesion shows reveals mg mm hg dl syndrome tumor nurse psychologist
    client therapist disorder""",
    """患者 病人 岁男 岁女 诊断 症状 检查 病史 血压 治疗 化验 发热 疼痛 手术""",
)
JUDGING: Final = (
    """scenario statement true false wrong morally ethical judged standards character valid correct incorrect best
    justified consistent inconsistent conclusion assumption""",
    """陈述 说法 正确 错误 道德 场景 判断 成立 以下 下列 结论 陳述 說法 正確 錯誤 結論""",
)
LOGIC: Final = (
    """predicate symbolization symbolize logic logical logically tautology premise antecedent consequent wff
    syllogism fallacy valid invalid sentence operator""",
    """逻辑 命题 前提 谓词 三段 谬误 邏輯 命題""",
)
CONDITIONS: Final = (
    """if then unless suppose assume assuming given such must cannot only either neither nor whether except while
    until instead without let because therefore thus however although exactly least""",
    """如果 假设 假如 若干 已知 只有 必须 不能 除非 否则 同时 之后 之前 因此 所以 但是 并且 而且 其中 满足 使得
    要么 分别 那么""",
)
COMPARING: Final = (
    """than twice thrice double triple times more less fewer greater larger smaller longer shorter older younger
    taller heavier lighter cheaper faster slower higher lower""",
    """两倍 三倍 四倍 几倍 的倍 倍多 更多 更少 多于 少于 高于 低于 大于 小于 超过 兩倍 多於 少於 超過""",
)
ORIGINS: Final = (
    """original originally initial initially start started starting begin began beginning before already current
    currently first previous previously""",
    """原来 原有 原本 原先 原价 最初 起初 初始 开始 之前 已经 已有 原來 最初 開始 已經""",
)
QUANTITIES: Final = (
    """each every per half third quarter percent percentage total altogether remaining left rate average ratio
    cost spend spent earn earned paid sold bought buys sells gave gives hour minute day week month year dollar cent
    mile pound feet inch gallon dozen two three four five six seven eight nine ten both combined extra enough much
    many add increase decrease discount split equally share shares""",
    """每个 每天 每小 每人 每周 每月 每年 一共 总共 剩下 还剩 多少 几个 平均 分之 百分 一半 打折 相同 其余 千米
    公里 小时 分钟 公斤 米长 元钱 增加 减少 比例 速度 同时 共有 合作 单独 每個 總共 還剩 幾個 小時 分鐘""",
)
RECALL: Final = (
    """whom whose name called known term refers describe defined definition define capital author wrote invented
    discovered founded country president king queen century war empire religion god culture cultural tribe
    buddhist islam islamic hindu jewish christian society social sociologist marketing consumer brand advertising
    virus viral vaccine infection leadership motivation policy foreign treaty union congress senate amendment
    election government democracy organization international security global film actor word synonym meaning spell
    nutrient vitamin dietary flag celebrated popular famous located largest tallest longest""",
    """是谁 哪里 哪儿 在哪 哪年 首都 作者 发明 国家 城市 总统 皇帝 朝代 世纪 宗教 文化 电影 歌曲 演员 意思 定义
    名字 什么 叫做 近义 反义 营养 颜色 国旗 人口 最大 最高 最长 天气 几点 几号 星期 日期 拼音 怎么 哪個 哪裡 是誰
    發明 國家 總統 顏色 天氣 幾點 什麼""",
)
SMALL_TALK: Final = (
    """hello hi hey thanks thank bye goodbye please okay ok yes yeah lol haha greetings""",
    """你好 您好 谢谢 再见 晚安 早安 好的 哈哈 对不 抱歉 辛苦 笑话 祝你 嗯嗯 謝謝 再見 笑話 拜拜 在吗""",
)
ERRANDS: Final = (
    """translate translation typo spelling proofread grammar summarize summarise summary capitalize uppercase
    lowercase reformat format alphabetize rephrase paraphrase tldr punctuation bullet convert transcribe shorten""",
    """翻译 错字 错别 校对 语法 摘要 总结 概括 润色 大写 小写 改写 标点 格式 缩写 转换 拼写 译成 翻譯 錯字 校對
    總結 潤色 改寫 標點""",
)


def forms(english: str) -> list[str]:
    """The words of a group, each also with an s."""
    return [form for word in english.split() for form in (word, word + "s")]
